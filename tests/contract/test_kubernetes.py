"""deploy/kubernetes: what it names exists in the code, and what it promises of pods holds of each of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from connectors.kafka.settings import KafkaSettings
from connectors.webhook.settings import WebhookSettings
from streams import readme
from streams.batches.core.settings import BatchSettings
from streams.cli.verbs import VERBS
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
OPTIONAL = re.findall(
    r"^  # - (\S+\.yaml) ", (DIRECTORY / "kustomization.yaml").read_text(encoding="utf-8"), re.MULTILINE
)
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
    assert files == {"kustomization.yaml", *KUSTOMIZATION["resources"], *OPTIONAL}


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "tests/contract/schemas" / name).read_text(encoding="utf-8")))


def test_every_object_is_what_kubernetes_and_keda_accept() -> None:
    kubernetes, scaled = schema("kubernetes.json"), schema("keda-scaled-object.json")
    optional = [
        found for name in OPTIONAL for found in yaml.safe_load_all((DIRECTORY / name).read_text(encoding="utf-8"))
    ]
    for found in OBJECTS + optional:
        own = scaled if found["kind"] == "ScaledObject" else {**kubernetes, "$ref": f"#/$defs/{found['kind']}"}
        jsonschema.validate(found, own, cls=jsonschema.Draft202012Validator)


def test_their_namespace_comes_with_them_and_refuses_a_pod_that_may_do_more() -> None:
    (namespace,) = [found["metadata"] for found in OBJECTS if found["kind"] == "Namespace"]
    assert namespace["name"] == KUSTOMIZATION["namespace"]
    assert namespace["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


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


MEASURED = {
    "export-worker": ("export", "memory"),
    "profile-worker": ("profile", "memory", "rebuild"),
    "connector": ("import",),
}
"""The benchmark suites whose peaks count for a process."""


def mebibytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([MG]i)", quantity).groups()
    return int(number) * (1024 if unit == "Gi" else 1)


def limit(name: str) -> int:
    return mebibytes(container(name)["resources"]["limits"]["memory"])


@pytest.mark.parametrize("name", MEASURED)
def test_its_memory_is_one_and_a_half_times_what_was_measured(name: str) -> None:
    results = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    ours = [found for found in results if found["suite"] in MEASURED[name] and found["system"] == "ours"]
    assert limit(name) >= 1.5 * max(found.get("peak_rss_mb", 0) for found in ours)


def test_the_largest_posts_that_are_handled_at_a_time_fit_into_the_memory() -> None:
    """Measured: a post of 16 MiB took 101 MiB alone, and 208 MiB each of four whose events may be echoes."""
    fields = WebhookSettings.model_fields
    set_here = environment("webhooks")
    posts = int(set_here.get("WEBHOOK_MAX_POSTS_IN_FLIGHT") or fields["max_posts_in_flight"].default)
    largest = int(set_here.get("WEBHOOK_MAX_BODY_BYTES") or fields["max_body_bytes"].default) / 2**20
    at_rest, times_the_body = 110, 14
    assert limit("webhooks") >= at_rest + posts * largest * times_the_body


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
        assert trigger["metricType"] == "Value", "an average asks for lag by threshold workers, whatever their number"
        assert trigger["metadata"]["ignoreNullValues"] == "false", "without an answer lag would be 0"
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
    (tokens,) = yaml.safe_load_all((DIRECTORY / "tokens.yaml").read_text(encoding="utf-8"))
    assert tokens["spec"]["podSelector"] == everything["podSelector"], "every process asks for tokens, also jobs"
    assert tokens["spec"]["egress"] == [{"ports": [{"port": 443}]}]
    for name in ("webhooks", "console", "profile-worker"):
        ports = {port["port"] for rule in of("NetworkPolicy")[name]["ingress"] for port in rule["ports"]}
        assert ports == {port["containerPort"] for port in container(name)["ports"] if port["name"] == "http"}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl renders it where it is installed")
def test_kubectl_renders_it_with_the_label_on_every_pod() -> None:
    rendered = subprocess.run(["kubectl", "kustomize", str(DIRECTORY)], capture_output=True, text=True, check=True)
    objects = list(yaml.safe_load_all(rendered.stdout))
    assert len(objects) == len(OBJECTS)
    jobs = [found["spec"]["jobTemplate"]["spec"] for found in objects if found["kind"] == "CronJob"]
    serving = [found["spec"] for found in objects if found["kind"] in ("StatefulSet", "Deployment")]
    assert len(jobs + serving) == len(PODS)
    for spec in jobs + serving:
        assert KUSTOMIZATION["labels"][0]["pairs"].items() <= spec["template"]["metadata"]["labels"].items()
