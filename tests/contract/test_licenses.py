"""docs/licenses.md: the license of each package that runs with ours, as its metadata states it.

`python -m tests.contract.test_licenses > docs/licenses.md` writes it again.
"""

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==", re.MULTILINE)
HEAD = """# Licenses of dependencies

What `requirements-run.lock` installs beside this project, whose own license is in [LICENSE](../LICENSE). Generated from
the metadata of the packages.

| Package | License |
| --- | --- |
"""
UNCONDITIONAL_COPYLEFT = re.compile(r"(?i)\b[AL]?GPL")


def license_of(package: str) -> str | None:
    """Return what a package states, or None where it is not installed on this platform."""
    try:
        found = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    classified = [line.rsplit(" :: ", 1)[-1] for line in found.get_all("Classifier", []) if line.startswith("License")]
    return found.get("License-Expression") or " and ".join(classified) or found.get("License", "").split("\n")[0]


def licenses() -> dict[str, str]:
    names = PINNED.findall((ROOT / "requirements-run.lock").read_text(encoding="utf-8"))
    return {name: stated for name in names if (stated := license_of(name)) is not None}


def as_document(found: dict[str, str]) -> str:
    return HEAD + "".join(f"| {name} | {stated} |\n" for name, stated in sorted(found.items()))


def test_the_list_is_fresh():
    assert as_document(licenses()) == (ROOT / "docs/licenses.md").read_text(encoding="utf-8")


def test_every_package_may_be_used_under_terms_that_bind_nobody_elses_code():
    for name, stated in licenses().items():
        assert stated, f"{name} states no license"
        assert any(not UNCONDITIONAL_COPYLEFT.search(term) for term in stated.split(" OR ")), f"{name}: {stated}"


if __name__ == "__main__":
    print(as_document(licenses()), end="")
