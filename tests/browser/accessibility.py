"""What axe-core finds on a page, light and dark, on a phone and on a screen; and whether all of it fits."""

from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page, ViewportSize, expect

import streams.console
from streams.console.context import Visit

WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
OPEN_DETAILS = "for (const part of document.querySelectorAll('details')) part.open = true"
TEMPLATES = Path(streams.console.__file__).parent / "templates"
REACHED: set[str] = set()
"""Templates of the pages that were looked at, in this process."""
_RENDERED: dict[str, str] = {}
"""Address -> the template that it was last answered with."""
SCHEMES: tuple[tuple[Literal["light", "dark"], dict[str, Any]], ...] = (
    # Nothing but colours differs in the dark. By name, because a tag also has the rules of a stricter level.
    ("dark", {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}),
    ("light", {}),
)
RUN = "options => axe.run(document, {...options, resultTypes: ['violations'], preload: false})"
AGAIN_MILLIS = 60_000
"""For a broker that a busy machine keeps from answering."""
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def violations(page: Page) -> list[str]:
    """Return a line for each part of the page that somebody could not use, with where it is.

    A page that could not be read, which opens itself again, is waited for: it would go away while it is looked at.
    """
    await expect(page.locator("[data-again]")).to_have_count(0, timeout=AGAIN_MILLIS)
    REACHED.update({_RENDERED[page.url]} if page.url in _RENDERED else ())
    await page.evaluate(OPEN_DETAILS)
    await page.evaluate(AXE_SCRIPT)
    found = []
    for size in (PHONE, WIDE):
        await page.set_viewport_size(size)
        where = f"{page.url} at {size['width']}"
        if await page.evaluate(TOO_WIDE):
            found.append(f"{where}: the page is wider than the screen")
        for scheme, options in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            found += [f"{where} {scheme}: {line}" for line in _lines(await page.evaluate(RUN, options))]
    return found


def note_templates(patch: pytest.MonkeyPatch) -> None:
    """From now on know which template each page of a console in this process was made with."""
    render = Visit.page

    def page(visit: Visit, template: str, status: int = 200, **values: Any) -> web.Response:
        _RENDERED[str(visit.request.url)] = template
        return render(visit, template, status, **values)

    patch.setattr(Visit, "page", page)


def not_reached() -> set[str]:
    """Return the templates of whole pages that were not looked at."""
    pages = {
        path.name for path in TEMPLATES.glob("*.html") if path.read_text().startswith('{% extends "layout.html" %}')
    }
    return pages - REACHED


def _lines(results: dict[str, Any]) -> list[str]:
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]}"
        for rule in results["violations"]
        for node in rule["nodes"]
    ]
