"""Who may import whom, how files are shaped, and which words are not used: the tree, checked against its own table."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("schemas", "connectors", "streams")

SHARED = {"schemas", "schemas.dead_letter", "connectors"}
"""What every edge may use: the contract, and what is in no room (event ids, health, logs)."""

ALLOWED: dict[str, set[str]] = {
    "schemas": {"schemas.dead_letter"},
    "schemas.dead_letter": set(),
    "connectors": {"schemas"},
    "connectors.kafka": SHARED,
    "connectors.campaign_monitor": SHARED,
    "connectors.control": SHARED | {"connectors.kafka", "connectors.campaign_monitor"},
    "connectors.importer": SHARED | {"connectors.kafka", "connectors.campaign_monitor", "connectors.control"},
    "connectors.webhook": SHARED | {"connectors.kafka", "connectors.campaign_monitor", "connectors.control"},
    "connectors.devkit": SHARED | {"connectors.kafka"},
    "streams.batches": {"connectors.kafka", "schemas.dead_letter"},
    "streams.dead_letters": SHARED | {"connectors.kafka", "streams.batches"},
    "streams.process": SHARED | {"connectors.kafka", "connectors.control", "streams.batches"},
    "streams.mapping": {"schemas"},
    "streams.export": SHARED
    | {"connectors.kafka", "connectors.campaign_monitor", "connectors.control"}
    | {"streams.batches", "streams.dead_letters", "streams.process"},
    "streams.control": SHARED
    | {"connectors.kafka", "connectors.campaign_monitor", "connectors.control", "connectors.importer"}
    | {"streams.batches", "streams.dead_letters", "streams.export", "streams.mapping", "streams.profile"}
    | {"streams.process"},
    "streams.profile": SHARED
    | {"connectors.kafka", "streams.batches", "streams.mapping", "streams.dead_letters", "streams.process"},
    "streams.console": SHARED
    | {"connectors.kafka", "connectors.campaign_monitor", "connectors.control"}
    | {"streams.control", "streams.dead_letters", "streams.export", "streams.mapping", "streams.profile"},
    "streams.demo": SHARED
    | {"connectors.kafka", "connectors.campaign_monitor", "connectors.control", "connectors.devkit"}
    | {"streams.process"},
}
"""Room -> the rooms that it may import, beside itself. A file belongs to the room with the longest matching name.

Nothing imports the console script, the demonstration, or (but for these two) what runs on developers' machines only.
"""
UNRESTRICTED = {"streams.cli", "streams.readme"}
"""The console script and the README's tables know everything; nothing but them imports them."""

PURE = ("schemas", "streams.mapping", "streams.export.rules")
SHELLS = {"faust", "mode", "aiohttp", "aiokafka", "confluent_kafka", "rocksdict", "asyncio", "structlog"}
OUTSIDE = {"time", "random", "os", "secrets", "uuid"}
"""Clocks, chance and the environment: pure rules get what they need of these as arguments."""

FACES = {"__init__.py", "__main__.py"}
"""Package faces may be short."""

VOCABULARY: list[tuple[str, str]] = [
    (r"\b(Shop|Told|Desk|Ways|Parcel|Courier|Carried|Wire|Passage|Gate|Lane|Holding|Mend)\b", "see docs/glossary.md"),
    (r"\btold\b", "publish, report, record, return"),
    (r"\b(tell|tells|telling)\b(?!.*\bapart\b)", "publish, report, record, return"),
    (r"\bsaid\b", "reported, stated, stored"),
    (r"\banew\b|\bonce more\b|\bmade again\b", "again, recreate, retry, re-read"),
    (
        r"\b(hear|hears|heard) of\b|\b(take|takes|took|taken|taking) in\b(?! (time|this time))",
        "receive, merge, consume",
    ),
    (r"\b(give|gives|gave|given|giving) up\b", "abandon, cancel, evict, skip"),
    (r"\bstands\b", "is, is stored, replaces"),
    (r"\bbe sure\b|\bbe_sure\b|\bunsure\b|\bdoubts?\b", "resync, outcome_unknown"),
    (r"\bow(e|es|ed)\b", "pending"),
    (r"\bwhom\b", "rows, subscribers, keys in the request"),
    (r"\bmend(s|ed|ing)?\b", "repair, refresh"),
    (r"\bluggage\b", "transferred_row"),
    (r"\bparcels?\b|\bcouriers?\b", "PlannedWrite, ListWriter"),
    (r"\bdesks?\b", "ReceiptContext"),
    (r"\b(swept_in_vain|jobs_are|goes_on|attend)\b", "invalidate_scans, set_jobs, redirected_to, report_blocked"),
    (r"\bfor (it|each|one) in\b", "the thing's name: job, row, receipt"),
    (r"\b(most|least|MOST|LEAST)_\w+", "max_x, min_x"),
    (r"\bstreams[./](up|runtime|audience|delivery|domain|mappings)\b", "the rooms of docs/architecture.md"),
]
"""(what is not written, what is written instead). The words are wrong in one meaning; where a pattern cannot know the
meaning, it is left out: `seal` encrypts, `settle` is for offsets, and `sweep`, `tally` are names on internal topics."""


@cache
def sources() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package is its `__init__`. Cython modules count."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py*")):
            if path.suffix in {".py", ".pyx"}:
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imported(module: str) -> frozenset[str]:
    """Every name that a module imports, wherever the import is: in functions and under TYPE_CHECKING, too."""
    path = sources()[module]
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        pattern = r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(\w+)|c?import\s+([\w.]+))"
        found = re.findall(pattern, text, flags=re.MULTILINE)
        return frozenset(f"{source}.{name}" if source else whole for source, name, whole in found)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, node.module] if node.module else base)
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return frozenset(names)


def edges(module: str) -> Iterator[str]:
    """The modules of ours that a module names in its imports, `from package import name` by the name's own module."""
    for name in imported(module):
        if name in sources():
            yield name
        elif name.rpartition(".")[0] in sources():
            yield name.rpartition(".")[0]


def room(module: str) -> str:
    """The room that a module belongs to; what is in none belongs to its floor."""
    rooms = [name for name in {*ALLOWED, *UNRESTRICTED} if module == name or module.startswith(name + ".")]
    return max(rooms, key=len, default=module.split(".")[0])


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_only_what_the_table_allows(package: str) -> None:
    wrong = [
        f"{module} ({room(module)}) imports {name} ({room(name)})"
        for module in sources()
        if module.split(".")[0] == package and room(module) not in UNRESTRICTED
        for name in sorted(set(edges(module)))
        if room(name) != room(module) and room(name) not in ALLOWED.get(room(module), set())
    ]
    assert not wrong


def test_every_room_of_the_table_is_there() -> None:
    rooms = {room(module) for module in sources()}
    assert {*ALLOWED, *UNRESTRICTED} - rooms == set()
    assert rooms - {*ALLOWED, *UNRESTRICTED} <= {"streams"}, "a room is missing in the table"


def test_other_rooms_use_the_face_of_record_batches_only() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in sources()
        if room(module) != "streams.batches"
        for name in sorted(set(edges(module)))
        if name.startswith("streams.batches.")
    ]
    assert not wrong


@pytest.mark.parametrize("pure", PURE)
def test_pure_rooms_know_no_shells_clocks_or_chance(pure: str) -> None:
    modules = [module for module in sources() if module == pure or module.startswith(pure + ".")]
    assert modules
    wrong = [
        f"{module} imports {name}"
        for module in modules
        for name in sorted(imported(module))
        if name.split(".")[0] in SHELLS | OUTSIDE
    ]
    wrong += [
        f"{module} asks a clock"
        for module in modules
        if re.search(r"\b(datetime\.(now|utcnow|today)|date\.today)\(", sources()[module].read_text(encoding="utf-8"))
    ]
    assert not wrong


def test_connectors_know_no_faust() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in sources()
        if module.startswith("connectors")
        for name in sorted(imported(module))
        if name.split(".")[0] in {"faust", "mode"}
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: set(edges(module)) - {module} for module in sources()}
    assert circles(graph) == []


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for neighbour in graph[node]:
            if neighbour not in index:
                visit(neighbour)
                low[node] = min(low[node], low[neighbour])
            elif neighbour in stack:
                low[node] = min(low[node], index[neighbour])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found)


def test_the_search_for_circles_finds_them() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_no_file_is_too_short_to_be_found() -> None:
    short = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in sources().values()
        if path.suffix == ".py"  # native sources hold only what is worth compiling
        and path.name not in FACES
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) < 40
    ]
    assert not short


def types_of(path: Path) -> Iterator[str]:
    """The public classes and type aliases at a module's top level."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not isinstance(node.value, ast.Call | ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name) and re.fullmatch(r"[A-Z]\w*[a-z]\w*", t.id))


def test_a_type_has_one_name_and_a_name_one_meaning() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for module, path in sources().items():
        if path.suffix == ".py":
            for name in types_of(path):
                where[name].append(module)
    assert {name: modules for name, modules in where.items() if len(modules) > 1 and name[0] != "_"} == {}


def texts() -> Iterator[Path]:
    """What people read: code, tests and documents."""
    yield from sources().values()
    for folder in ("tests", "benchmarks", "docs"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md"})
    yield ROOT / "README.md"


@pytest.mark.parametrize(("pattern", "instead"), VOCABULARY, ids=[pattern for pattern, _instead in VOCABULARY])
def test_words_of_our_own_are_not_used(pattern: str, instead: str) -> None:
    word = re.compile(pattern)
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {found[0]}"
        for path in texts()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (found := word.search(line))
    ]
    assert not wrong, f"{len(wrong)} times; write instead: {instead}"
