"""What the Dockerfile does, without a container: its steps on the same files, and the package that comes of them.

No compiler is found: then the rules run in Python, and the package installs all the same.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", re.MULTILINE)
pytestmark = [pytest.mark.long_fault, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Image:
    """Where the steps worked, and where they put what the last stage takes."""

    build: Path
    installed: Path

    def run(self, *command: str, **environment: str) -> str:
        """Run a program of the image, as it does: outside of the repository, without its environment."""
        given = {"PATH": f"{self.installed}/bin:/usr/bin:/bin", "HOME": str(self.build), **environment}
        done = subprocess.run(command, cwd="/", env=given, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        return done.stdout


def is_ignored(name: str) -> bool:
    """Return whether .dockerignore keeps a file out. It has names of the top level, and `**/` before any other."""
    parts = Path(name).parts
    for pattern in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        if pattern.startswith("**/") and any(fnmatch.fnmatch(part, pattern[3:]) for part in parts):
            return True
        if parts[0] == pattern:
            return True
    return False


def instructions() -> list[str]:
    """Return the instructions of the build stage, each on one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[1]
    return [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")][1:]


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Image:
    build, installed = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("opt") / "cm-streams"
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    context = [name for name in listing.split("\0") if name and (ROOT / name).is_file() and not is_ignored(name)]
    for instruction in instructions():
        verb, rest = instruction.split(maxsplit=1)
        if verb == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copied = [name for name in context if name == source or name.startswith(f"{source}/")]
                assert copied, f"COPY {source}: not in the context"
                for name in copied:
                    to = build / (name if target in ("./", source) else target)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, to)
        elif verb == "RUN" and "apt-get" not in rest:
            script = rest.replace("/opt/cm-streams", str(installed)).replace("--no-cache-dir ", "")
            script = script.replace("python -m venv", f"{shlex.quote(sys.executable)} -m venv")
            environment = {**os.environ, "CC": "/bin/false", "PYTHONPATH": ""}
            done = subprocess.run(
                script, shell=True, cwd=build, env=environment, capture_output=True, text=True, timeout=280
            )
            assert done.returncode == 0, f"{script}\n{done.stderr[-3000:]}"
        else:
            assert verb in ("WORKDIR", "RUN"), f"{verb}: teach the test what it does"
    return Image(build, installed)


def test_the_console_script_runs_outside_of_the_repository(image):
    assert "export" in image.run("cm-streams", "--help")
    assert image.run("python", "-c", "import streams; print(streams.__file__)").startswith(str(image.installed))


def test_without_a_compiler_the_rules_run_in_python(image):
    program = "from streams.mapping.fields import COMPILED; from streams.cli.verbs import VERBS; print(COMPILED)"
    assert image.run("python", "-c", program).strip() == "False"


def test_files_that_are_no_code_are_in_it_too(image):
    """Each file of the packages but what is compiled: rules, pages, styles, schemas."""
    (site,) = image.installed.glob("lib/python*/site-packages")
    sources = [path for room in ("schemas", "connectors", "streams") for path in (image.build / room).rglob("*")]
    wanted = {path.relative_to(image.build) for path in sources if path.is_file()}
    missing = [str(path) for path in wanted if not (site / path).exists()]
    assert sorted(name for name in missing if not name.endswith((".pyx", ".pxd", ".pxi", ".c", ".so"))) == []


def test_a_source_archive_has_what_a_wheel_is_built_from(image):
    code = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    tools = image.build / "build-tools" / "bin" / "python"
    subprocess.run([tools, "-c", code, "."], cwd=image.build, capture_output=True, check=True, timeout=120)
    (archive,) = image.build.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        held = {name.split("/", 1)[1] for name in opened.getnames() if "/" in name}
    sources = [path for room in ("schemas", "connectors", "streams") for path in (image.build / room).rglob("*")]
    wanted = {str(path.relative_to(image.build)) for path in sources if path.is_file() and path.suffix != ".c"}
    assert sorted(wanted - held) == []
    assert {"pyproject.toml", "LICENSE", "NOTICE", "README.md"} <= held


def test_the_list_of_contents_names_what_is_installed_and_nothing_builds_in_it(image):
    sbom = json.loads((image.installed / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert sbom["bomFormat"] == "CycloneDX"
    found = {part["name"].lower().replace("_", "-"): part["version"] for part in sbom["components"]}
    program = (
        "import importlib.metadata as m; print(*(d.name + '==' + d.version for d in m.distributions()), sep='\\n')"
    )
    here = {
        name.lower().replace("_", "-"): version for name, version in NAMES.findall(image.run("python", "-c", program))
    }
    assert found | {"cm-streams": here["cm-streams"]} == here
    locked = dict(NAMES.findall((ROOT / "requirements-run.lock").read_text(encoding="utf-8")))
    assert here.keys() - {"cm-streams"} <= locked.keys()
    assert not {"pip", "cython", "pytest", "mypy"} & here.keys()
