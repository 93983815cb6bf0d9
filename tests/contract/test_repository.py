"""What the repository promises beyond its code."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize(("name", "least"), [("", 40), ("-run", 40), ("-build", 2)])
def test_every_requirement_is_pinned_with_hashes_and_no_address(name, least):
    text = (ROOT / f"requirements{name}.lock").read_text(encoding="utf-8")
    requirements = re.findall(r"^[a-z0-9][^\n]*", text, flags=re.MULTILINE | re.IGNORECASE)
    assert len(requirements) >= least
    assert all("==" in requirement for requirement in requirements)
    assert len(re.findall(r"--hash=sha256:", text)) >= len(requirements)
    assert "://" not in text


def test_topics_are_documented_with_a_key_and_a_writer():
    from schemas.topics import TOPICS

    assert all(topic.doc and topic.key and topic.writer for topic in TOPICS.values())


def test_every_setting_is_documented():
    from streams import readme

    undocumented = [name for name, _default, meaning in readme.setting_rows() if not meaning]
    assert not undocumented


@pytest.mark.parametrize("package", ["schemas", "connectors", "streams"])
def test_files_stay_small(package):
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in (ROOT / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    ]
    assert not long


def test_no_machine_path_is_committed():
    absolute = re.compile(r"(?<![\w.])/(?:work|root|home/[a-z]+)/")
    wrong = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in {".py", ".md", ".yml", ".yaml", ".toml", ".lock", ".lql"}
        and path.name != Path(__file__).name
        and absolute.search(path.read_text(encoding="utf-8"))
    ]
    assert not wrong


def test_links_of_the_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked()
        if path.suffix == ".md"
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert not broken


def test_each_exception_from_a_security_rule_says_why():
    silent = [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for package in ("schemas", "connectors", "streams")
        for path in (ROOT / package).rglob("*.py")
        for found in re.finditer(r"noqa: S\d+(.*)", path.read_text(encoding="utf-8"))
        if len(found[1].strip(" -()")) < 4
    ]
    assert not silent
