"""Mapping: the files, what they make of a pasted message, and what a rebuild would change."""

from datetime import UTC, datetime

from aiohttp import web

from streams.console.context import Route, Visit
from streams.control.mappings import ExplainError, explained_message, rebuild_changes, value_text
from streams.mapping.compile.evaluate import Explained
from streams.mapping.syntax.expressions import MappingError
from streams.profile.settings import ProfileSettings, catalog_of, mapping_texts

MAX_PROFILES = 100
"""That a rebuild would change and the page shows."""


async def show(visit: Visit) -> web.StreamResponse:
    """Show the files, and the form for a message."""
    return await _shown(visit)


async def explain(visit: Visit) -> web.StreamResponse:
    """Show what each mapping makes of the message."""
    try:
        catalog = catalog_of(ProfileSettings())
        found = explained_message(catalog, visit.text("stream"), visit.text("message"), datetime.now(UTC))
    except ExplainError as fault:
        return await _shown(visit, 422, [f"{fault}."])
    except (MappingError, FileNotFoundError) as fault:
        return await _shown(visit, 422, [str(fault)])
    return await _shown(visit, explained=found)


async def show_rebuild(visit: Visit) -> web.StreamResponse:
    """Show which profiles would differ after the rebuild that was built beside the running ones."""
    from streams.profile.rebuild import RebuildError

    kafka = visit.console.kafka
    try:
        found = await visit.console.reads.of(lambda: rebuild_changes(kafka, MAX_PROFILES))
    except RebuildError as reason:
        sentence = f"Nothing is built to compare with: {reason}."
        return visit.sentence(404, "What a rebuild would change", sentence)
    except (MappingError, FileNotFoundError) as fault:
        return visit.sentence(422, "The mappings cannot be used", str(fault))
    return visit.page("rebuild.html", found=found, value_text=value_text)


async def _shown(
    visit: Visit, status: int = 200, faults: list[str] | None = None, explained: list[Explained] | None = None
) -> web.StreamResponse:
    wrong, catalog, texts = list(faults or []), None, []
    try:
        texts = mapping_texts(ProfileSettings())
        catalog = catalog_of(ProfileSettings())
    except (MappingError, FileNotFoundError) as fault:
        wrong = wrong or [str(fault)]
    return visit.page(
        "mapping.html", status, faults=wrong, catalog=catalog, texts=texts, explained=explained, value_text=value_text
    )


ROUTES = (
    Route("GET", "/mapping", "viewer", show),
    Route("POST", "/mapping", "viewer", explain, changes=False),
    Route("GET", "/mapping/rebuild", "viewer", show_rebuild),
)
