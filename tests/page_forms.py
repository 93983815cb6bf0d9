"""A browser without scripts: pages with several forms, filled in by the labels that people read."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp

Attributes = dict[str, str]
VOID = {"input", "br", "meta", "link"}


@dataclass
class PageForm:
    """One form: what a browser would send of it."""

    action: str
    method: str
    values: list[tuple[str, str]] = field(default_factory=list)
    boxes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Label -> name and value of a box that is not checked."""
    names: dict[str, str] = field(default_factory=dict)
    """Label -> name of its field; of several with the same label the last one."""
    choices: dict[str, dict[str, str]] = field(default_factory=dict)
    """Label of a select -> text of an option -> its value."""
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)

    def fill_in(self, label: str, value: str) -> None:
        """Type into a field."""
        name = self.names[label]
        self.values = [(known, old) for known, old in self.values if known != name] + [(name, value)]

    def choose(self, label: str, text: str) -> None:
        """Choose an option of a select by its text."""
        self.fill_in(label, self.choices[label][text])

    def check(self, label: str) -> None:
        """Check a box."""
        self.values.append(self.boxes[label])


@dataclass
class FormPage(HTMLParser):
    """What is on a page."""

    html: str
    heading: str = ""
    alert: str = ""
    forms: list[PageForm] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self._labels: dict[str, str] = {}
        self._inputs: list[tuple[PageForm, str, Attributes]] = []
        self._typed: dict[int, list[str]] = {}
        self._options: list[tuple[PageForm, Attributes, Attributes, list[str]]] = []
        self._open: list[tuple[str, Attributes]] = []
        self.feed(self.html)
        for form, tag, given in self._inputs:
            self._note(form, tag, given)
        for form, select, option, text in self._options:
            shown = "".join(text).strip()
            value = option.get("value", shown)
            form.choices.setdefault(self._label(select), {})[shown] = value
            if "selected" in option or select["name"] not in dict(form.values):
                form.values = [(name, old) for name, old in form.values if name != select["name"]]
                form.values.append((select["name"], value))

    def _label(self, given: Attributes) -> str:
        return " ".join(self._labels.get(given.get("id", ""), "").split())

    def _note(self, form: PageForm, tag: str, given: Attributes) -> None:
        name, label = given.get("name", ""), self._label(given)
        if given.get("type") == "checkbox" and "checked" not in given:
            form.boxes[label] = name, given["value"]
            return
        if tag != "select":
            typed = "".join(self._typed.get(id(given), [])).removeprefix("\n")
            form.values.append((name, typed if tag == "textarea" else given.get("value", "")))
        if given.get("type") not in ("hidden", "checkbox"):
            assert label, f"{name} has no label"
            form.names[label] = name

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert not {"style", "onclick", "onsubmit"} & given.keys(), "the policy forbids it"
        if tag == "form":
            self.forms.append(PageForm(given.get("action", ""), given["method"]))
        elif tag in ("input", "select", "textarea"):
            self._inputs.append((self.forms[-1], tag, given))
        elif tag == "option" and self._in("select"):
            self._options.append((self.forms[-1], self._in("select"), given, []))
        if tag not in VOID:
            self._open.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._in("h1"):
            self.heading += data
        if self._open and self._open[-1][0] == "textarea":
            self._typed.setdefault(id(self._open[-1][1]), []).append(data)
        if self._in("option") and self._in("select"):
            self._options[-1][3].append(data)
        if label := self._in("label"):
            self._labels[label["for"]] = self._labels.get(label["for"], "") + data
        if button := self._in("button"):
            self.forms[-1].buttons[data] = button.get("name", ""), button.get("value", "")
        if link := self._in("a"):
            self.links[data] = link["href"]
        if any(given.get("role") == "alert" for _tag, given in self._open):
            self.alert += data

    def _in(self, tag: str) -> Attributes:
        found = next((given for name, given in reversed(self._open) if name == tag), None)
        return {} if found is None else {"": "", **found}

    def form(self, button: str) -> PageForm:
        """The form that has a button."""
        return next(form for form in self.forms if button in form.buttons)


class Browser:
    """`await browser.open("/jobs")`, `browser.page.form("Log in").fill_in(...)`, `await browser.press("Log in")`."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def open(self, path: str) -> FormPage:
        """Open a page; redirects are followed."""
        return await self._read("GET", urljoin(self.address, path))

    async def press(self, button: str) -> FormPage:
        """Send the form that has this button."""
        form = self.page.form(button)
        name, value = form.buttons[button]
        sent = [*form.values, *([(name, value)] if name else [])]
        url = urljoin(self.url, form.action)
        if form.method == "get":
            return await self._read("GET", url, params=sent)
        return await self._read("POST", url, data=sent)

    async def log_in(self, name: str, password: str) -> FormPage:
        """Log in at the console."""
        await self.open("/login")
        form = self.page.form("Log in")
        form.fill_in("User name", name)
        form.fill_in("Password", password)
        return await self.press("Log in")

    async def _read(self, method: str, url: str, **options: object) -> FormPage:
        async with self.session.request(method, url, **options) as response:  # type: ignore[arg-type]
            self.url, self.status, self.headers = str(response.url), response.status, response.headers
            self.page = FormPage(await response.text())
        return self.page
