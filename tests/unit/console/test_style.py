"""The stylesheet: what the pages ask of it is there."""

import re
from pathlib import Path

CONSOLE = Path(__file__).parents[3] / "streams" / "console"
STYLE = (CONSOLE / "style.css").read_text(encoding="utf-8")


def test_each_class_of_a_page_has_a_style() -> None:
    used = {
        name
        for path in (CONSOLE / "templates").glob("*.html")
        for names in re.findall(r'class="([^"{}]*)"', path.read_text(encoding="utf-8"))
        for name in names.split()
    }
    assert len(used) > 5
    assert {name for name in used if not re.search(rf"\.{name}\b", STYLE)} == set()


def test_both_schemes_have_each_colour() -> None:
    light, dark = (set(re.findall(r"(--[\w-]+):", part)) for part in STYLE.split("prefers-color-scheme: dark")[:2])
    assert light
    assert light == set(re.findall(r"(--[\w-]+):", STYLE.split("prefers-color-scheme: dark")[1]))
    assert {*re.findall(r"var\((--[\w-]+)\)", STYLE)} <= light | dark
