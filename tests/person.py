"""A person at Campaign Monitor's pages: reads headings and labels as a browser shows them, and fills in the forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL


@dataclass
class PageReader(HTMLParser):
    """What is on a page: texts by element, and its form."""

    html: str
    heading: str = ""
    alert: str = ""
    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    """Values by name, hidden ones included."""
    labels: dict[str, str] = field(default_factory=dict)
    """Label -> name of its field."""
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Text -> name and value."""

    def __post_init__(self) -> None:
        super().__init__()
        self._names: dict[str, str] = {}
        self._label_for: dict[str, str] = {}
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(self.html)
        self.labels = {text: self._names[target] for text, target in self._label_for.items()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        elif tag == "input":
            self.fields[given["name"]] = given.get("value", "")
            self._names[given.get("id", "")] = given["name"]
        if tag not in ("input", "br", "meta"):
            self._open.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        tag, given = self._open[-1] if self._open else ("", {})
        if tag == "h1":
            self.heading += data
        elif tag == "label":
            self._label_for[data] = given["for"]
        elif tag == "button":
            self.buttons[data] = given.get("name", ""), given.get("value", "")
        elif given.get("role") == "alert":
            self.alert += data


class Person:
    """`async with Person() as person: await person.open(url)`, then `fill_in` and `press`.

    Without `follow` a redirect to another port is not followed: `sent_to` has it.
    """

    def __init__(self, *, follow: bool = True) -> None:
        self._follow = follow
        self.sent_to = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # 127.0.0.1 may set cookies
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def open(self, url: str) -> PageReader:
        """Open a page; redirects are followed."""
        return await self._read(self._session.get(url, allow_redirects=False))

    async def press(self, button: str) -> PageReader:
        """Send the page's form with one of its buttons."""
        name, value = self.page.buttons[button]
        form = {**self.page.fields, **({name: value} if name else {})}
        return await self.send(urljoin(self.url, self.page.action), form)

    async def send(self, url: str, form: dict[str, str]) -> PageReader:
        """Send a form that was on no page."""
        return await self._read(self._session.post(url, data=form, allow_redirects=False))

    def fill_in(self, label: str, text: str) -> None:
        """Type into the field with this label."""
        self.page.fields[self.page.labels[label]] = text

    async def log_in(self, password: str = "simulator-password") -> PageReader:
        """Log in as the source document has it."""
        self.fill_in("Email or Username", "simulator")
        self.fill_in("Password", password)
        return await self.press("Log in")

    async def allow(self, url: str) -> PageReader:
        """Log in and allow access; return where that leads."""
        await self.open(url)
        await self.log_in()
        return await self.press("Allow access")

    async def _read(self, answer: "aiohttp.client._RequestContextManager") -> PageReader:
        async with answer as response:
            self.url, self.status = str(response.url), response.status
            self.page = PageReader(await response.text())
            self.sent_to = ""
            if "Location" in response.headers:
                self.sent_to = urljoin(self.url, response.headers["Location"])
        if self.sent_to and (self._follow or URL(self.sent_to).origin() == URL(self.url).origin()):
            return await self.open(self.sent_to)
        return self.page
