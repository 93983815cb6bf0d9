"""deploy/kubernetes: what it names exists in the code, and what it promises of pods holds of each of them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.kafka.settings import KafkaSettings
from connectors.webhook.settings import WebhookSettings
from streams import readme
from streams.batches.core.settings import BatchSettings
from streams.cli.__main__ import VERBS
from streams.export.settings import ExportSettings
from streams.profile.settings import ProfileSettings

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text(encoding="utf-8"))
OBJECTS: list[dict[str, Any]] = [
    found
    for file in KUSTOMIZATION["resources"]
    for found in yaml.safe_load_all((DIRECTORY / file).read_text(encoding="utf-8"))
]
IMAGE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SETTINGS = {name for name, _default, _meaning in readme.setting_rows()}
HEALTH_PORT = int(re.findall(r"STREAMS_HEALTH_PORT=(\d+)", IMAGE)[0])


def of(kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found["spec"] for found in OBJECTS if found["kind"] == kind}


SERVING = {**of("StatefulSet"), **of("Deployment")}
PODS = {name: spec["template"]["spec"] for name, spec in SERVING.items()} | {
    name: spec["jobTemplate"]["spec"]["template"]["spec"] for name, spec in of("CronJob").items()
}
each_pod = pytest.mark.parametrize("name", PODS)
each_process = pytest.mark.parametrize("name", SERVING)


def container(name: str) -> dict[str, Any]:
    (only,) = PODS[name]["containers"]
    return only


def environment(name: str) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in container(name).get("env", [])}


def test_every_process_is_there_and_every_file_is_a_resource() -> None:
    assert {"export-worker", "profile-worker", "connector", "webhooks", "console"} == SERVING.keys()
    files = {path.name for path in DIRECTORY.glob("*.yaml")}
    assert files == {"kustomization.yaml", *KUSTOMIZATION["resources"]}


@each_pod
def test_it_runs_a_command_of_ours_with_settings_of_ours(name: str) -> None:
    assert container(name)["args"][0] in VERBS
    assert environment(name).keys() | of_configuration().keys() <= SETTINGS
    assert container(name)["image"] == KUSTOMIZATION["images"][0]["name"]


def of_configuration() -> dict[str, str]:
    (found,) = [found["data"] for found in OBJECTS if found["kind"] == "ConfigMap"]
    return found


@each_pod
def test_it_may_do_nothing_that_it_does_not_need(name: str) -> None:
    pod, context = PODS[name], container(name)["securityContext"]
    user = re.findall(r"^USER (\d+)$", IMAGE, re.MULTILINE)
    assert [str(pod["securityContext"]["runAsUser"])] == user
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["readOnlyRootFilesystem"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["allowPrivilegeEscalation"] is False
    assert pod["automountServiceAccountToken"] is False
    assert container(name)["resources"]["limits"]["memory"]


@each_pod
def test_secrets_are_in_the_secret_only(name: str) -> None:
    texts = yaml.safe_dump([container(name)["args"], of_configuration()])
    assert not re.search(r"(?i)secret|password|token|encryption_key", texts)
    given = {entry for entry, value in environment(name).items() if value is not None}
    assert not {entry for entry in given if re.search(r"SECRET|PASSWORD|TOKEN|KEY", entry)}


@each_process
def test_it_is_probed_where_the_image_listens(name: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    assert ports["health"] == HEALTH_PORT
    for probe, path in (("startupProbe", "/live"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        assert container(name)[probe]["httpGet"] == {"path": path, "port": "health"}
    own = [int(value) for entry, value in environment(name).items() if entry.endswith("_PORT")]
    assert own == [port for named, port in ports.items() if named == "http"]


@each_process
def test_it_has_the_time_that_its_stop_takes(name: str) -> None:
    stop = max(
        BatchSettings.model_fields["stop_seconds"].default,
        WebhookSettings.model_fields["publish_timeout_seconds"].default + 1,
    )
    assert PODS[name]["terminationGracePeriodSeconds"] >= stop + 5


def test_workers_keep_their_name_their_volume_and_never_outnumber_partitions() -> None:
    scaled = of("ScaledObject")
    for word, settings in (("export", ExportSettings), ("profile", ProfileSettings)):
        name, spec = f"{word}-worker", of("StatefulSet")[f"{word}-worker"]
        instance = next(e for e in container(name)["env"] if e["name"] == f"{word.upper()}_INSTANCE_ID")
        assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
        assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["data"]
        assert "replicas" not in spec, "each apply would undo what was scaled"
        assert scaled[name]["maxReplicaCount"] == KafkaSettings.model_fields["partitions"].default
        (trigger,) = scaled[name]["triggers"]
        group = settings.model_fields["app_id"].default
        assert trigger["metadata"]["query"] == f'max(cm_streams_consumer_lag_seconds{{group="{group}"}})'
    assert "cm_streams_consumer_lag_seconds" in {metric.name for metric in readme.all_metrics()}


def test_services_and_policies_choose_pods_that_exist_and_ports_that_are_open() -> None:
    for name, service in of("Service").items():
        assert service["selector"] == {"app.kubernetes.io/name": name}
        target = {port["name"] for port in container(name)["ports"]}
        assert {port["targetPort"] for port in service["ports"]} <= target
    for name, budget in of("PodDisruptionBudget").items():
        assert budget["selector"]["matchLabels"] == SERVING[name]["selector"]["matchLabels"]
    everything = of("NetworkPolicy")["all-processes"]
    assert everything["podSelector"]["matchLabels"] == KUSTOMIZATION["labels"][0]["pairs"]
    assert KUSTOMIZATION["labels"][0]["includeTemplates"], "else the policy chooses no pod"
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    for name in ("webhooks", "console", "profile-worker"):
        ports = {port["port"] for rule in of("NetworkPolicy")[name]["ingress"] for port in rule["ports"]}
        assert ports == {port["containerPort"] for port in container(name)["ports"] if port["name"] == "http"}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl renders it where it is installed")
def test_kubectl_renders_it_with_the_label_on_every_pod() -> None:
    rendered = subprocess.run(["kubectl", "kustomize", str(DIRECTORY)], capture_output=True, text=True, check=True)
    found = [one for one in yaml.safe_load_all(rendered.stdout) if "template" in str(one.get("spec", {}).keys())]
    assert len(found) == len(SERVING)
    for one in found:
        assert KUSTOMIZATION["labels"][0]["pairs"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
