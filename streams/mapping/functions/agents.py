"""What a browser's User-Agent header names: products with versions and comments, and what these mean.

The answers are those of the engine that mapping files were written for: the platform and the system as the header
spells them, the engine that the browser claims. Databases of browsers give other names, which would be other profiles.

The order of decisions follows the Go library github.com/mssola/useragent (MIT license, see NOTICE) closely.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from streams.mapping.functions.declared import Function, Yields
from streams.mapping.functions.text import spelled
from streams.mapping.kinds import to_text

_PRODUCT = re.compile(
    r"(?P<product>[^( \[][^ ]*)?\x20*(?:\((?P<comment>(?:[^()]|\([^()]*\))*)\)?\x20?)?(?:\[[^\]]*\]?\x20?)?"
)
_SITE = re.compile(r"https?://.+\.\w+")
_BOT = re.compile(r"bot|crawler|sp[iy]der|search|worm|fetch|nutch", re.IGNORECASE)
_WINDOWS = {
    "5.0": "Windows 2000",
    "5.01": "Windows 2000, Service Pack 1 (SP1)",
    "5.1": "Windows XP",
    "5.2": "Windows XP x64 Edition",
    "6.0": "Windows Vista",
    "6.1": "Windows 7",
    "6.2": "Windows 8",
    "6.3": "Windows 8.1",
    "10.0": "Windows 10",
}
_TRIDENT = {"4.0": "8.0", "5.0": "9.0", "6.0": "10.0"}
_WEBKIT = {"Chrome": "Chrome", "CriOS": "Chrome", "Chromium": "Chromium", "FxiOS": "Firefox"}


@dataclass(slots=True)
class Product:
    """A part of the header: `Name/version (comment; comment)`."""

    name: str
    version: str
    comments: list[str]


@dataclass(slots=True)
class BrowserHeader:
    """What is found out step by step; an empty text where nothing is known."""

    text: str
    products: list[Product]
    mozilla: str = ""
    platform: str = ""
    os: str = ""
    engine: str = ""
    engine_version: str = ""
    browser: str = ""
    browser_version: str = ""
    bot: bool = False
    mobile: bool = False
    undecided: bool = False

    @property
    def comments(self) -> list[str]:
        """The comments of the first product."""
        return self.products[0].comments

    def features(self) -> dict[str, str]:
        """Return every feature as text."""
        names = ("mozilla", "platform", "os", "engine", "engine_version", "browser", "browser_version")
        flags = {"bot": str(self.bot).lower(), "mobile": str(self.mobile).lower()}
        return flags | {name: getattr(self, name) for name in names}


def agent_feature(agent: Any, feature: Any) -> str | None:
    """A feature of a browser: bot, browser, browser_version, engine, engine_version, mobile, mozilla, os, platform."""
    features, name = agent_features(agent), to_text(feature)
    return None if features is None or name is None else features.get(name.lower()) or None


def agent_features(agent: Any) -> dict[str, str] | None:
    """All features of a browser."""
    text = agent if isinstance(agent, str) else spelled(agent[0]) if isinstance(agent, list) and agent else ""
    return dict(_features(text)) if text else None


@lru_cache(maxsize=1024)
def _features(text: str) -> dict[str, str]:
    agent = BrowserHeader(text, _products(text))
    if agent.products:
        agent.mobile = any(product.name == "Mobile" for product in agent.products)
        agent.mozilla = agent.products[0].version if agent.products[0].name == "Mozilla" else ""
        _find_browser(agent)
        _find_system(agent)
        if agent.undecided:
            _find_bot(agent)
    return agent.features()


def _products(text: str) -> list[Product]:
    found, at = [], 0
    while at < len(text):
        match = _PRODUCT.match(text, at)
        if match is None or match.end() == at:
            break
        name, _, version = (match["product"] or "").partition("/")
        found.append(Product(name, version, [] if match["comment"] is None else match["comment"].split("; ")))
        at = match.end()
    return found


def _find_browser(agent: BrowserHeader) -> None:
    first, count = agent.products[0], len(agent.products)
    if first.name == "Opera":
        agent.browser, agent.browser_version, agent.engine = "Opera", first.version, "Presto"
        agent.engine_version = agent.products[1].version if count > 1 else ""
    elif first.name == "Dalvik":
        agent.mozilla = "5.0"
    elif count > 1:
        agent.engine, agent.engine_version = agent.products[1].name, agent.products[1].version
        if count > 2:
            _find_modern_browser(agent)
    elif len(first.comments) > 1 and first.comments[0] == "compatible" and first.comments[1].startswith("MSIE"):
        agent.engine, agent.browser = "Trident", "Internet Explorer"
        trident = next((comment[8:] for comment in first.comments if comment.startswith("Trident/")), "")
        agent.browser_version = _TRIDENT.get(trident) or first.comments[1][4:].strip()


def _find_modern_browser(agent: BrowserHeader) -> None:
    products = agent.products
    shown = products[3] if not products[2].version and len(products) > 3 else products[2]
    agent.browser_version = shown.version
    if agent.engine == "AppleWebKit":
        last = products[-1]
        if last.name == "Edge":
            agent.browser, agent.browser_version = "Edge", last.version
            agent.engine, agent.engine_version = "EdgeHTML", ""
        elif last.name == "OPR":
            agent.browser, agent.browser_version = "Opera", last.version
        else:
            named = next(
                (product for product in (products[-3], products[-2]) if _names_itself(product, products)), None
            )
            agent.browser = named.name if named else _WEBKIT.get(shown.name, "Safari")
            agent.browser_version = named.version if named else shown.version
            agent.undecided = any(comment.startswith(("Googlebot", "bingbot")) for comment in products[1].comments)
    elif agent.engine == "Gecko":
        named = products[4] if products[2].name == "MRA" and len(products) > 4 else products[2]
        agent.browser = named.name
        agent.browser_version = named.version if named is not products[2] else shown.version
    elif agent.engine == "like" and products[2].name == "Gecko":
        agent.engine, agent.browser = "Trident", "Internet Explorer"
        agent.browser_version = next((text[3:] for text in agent.comments if re.match("rv:.", text)), "")


def _names_itself(product: Product, products: list[Product]) -> bool:
    return product.name == ("YaBrowser" if product is products[-3] else "Electron")


def _find_system(agent: BrowserHeader) -> None:
    name, comments = agent.products[0].name, agent.comments
    if name == "Mozilla":
        agent.platform = _platform(comments)
        agent.os = _windows(comments[0]) if agent.platform == "Windows" else ""
        finders = {"Gecko": _of_gecko, "AppleWebKit": _of_webkit, "Trident": _of_trident}
        agent.undecided = agent.undecided or not agent.engine
        if agent.engine in finders:
            finders[agent.engine](agent, comments)
    elif name == "Opera" and comments:
        windows = comments[0].startswith("Windows")
        agent.mobile = agent.mobile or comments[0].startswith("Android")
        agent.platform = "Windows" if windows else comments[0]
        agent.os = _windows(comments[0]) if windows else comments[1] if len(comments) > 1 else comments[0]
    elif name == "Dalvik":
        if comments and comments[0].startswith("Linux"):
            agent.platform, agent.mobile = comments[0], True
            agent.os = comments[2] if len(comments) > 2 else ""
    elif name == "okhttp":
        agent.mobile, agent.browser, agent.browser_version = True, "OkHttp", agent.products[0].version
    else:
        agent.undecided = agent.undecided or name != "Opera"


def _platform(comments: list[str]) -> str:
    if not comments or comments[0] == "compatible":
        return ""
    known = (name for name in ("Windows", "Symbian", "webOS") if comments[0].startswith(name))
    return "BlackBerry" if comments[0] == "BB10" else next(known, comments[0])


def _windows(name: str) -> str:
    words = name.split(" ", 2)
    return _WINDOWS.get(words[2], name) if len(words) == 3 and words[1] == "NT" else name


def _of_webkit(agent: BrowserHeader, comments: list[str]) -> None:
    if agent.platform in ("webOS", "Symbian"):
        agent.mobile, agent.browser = True, agent.platform
        agent.os = "Palm" if agent.platform == "webOS" else comments[0]
    elif agent.platform == "Linux":
        _of_android(agent, comments)
    elif comments:
        if comments[0].startswith("Windows NT"):
            agent.os = _windows(comments[0])
        elif len(comments) > 2:
            agent.os = _windows(comments[2])
        elif len(comments) == 2 and not _is_google_or_bing(agent) and not _is_preview(agent):
            agent.os = _windows(comments[1])
        if agent.platform == "BlackBerry":
            agent.browser = agent.platform
            agent.os = agent.platform if agent.os == "Touch" else agent.os
    if agent.platform == "Macintosh" and agent.browser == "Firefox":  # an iPad that calls itself a Macintosh
        agent.platform, agent.mobile = "iPad", True


def _of_android(agent: BrowserHeader, comments: list[str]) -> None:
    agent.mobile = True
    agent.browser = "Android" if agent.browser == "Safari" else agent.browser
    if len(comments) > 1:
        hidden = comments[1] in ("U", "arm_64")
        agent.mobile = not hidden or len(comments) > 2
        agent.os = comments[1] if not hidden else comments[2] if len(comments) > 2 else comments[0]
    if len(comments) == 3:
        _is_google_or_bing(agent)


def _of_gecko(agent: BrowserHeader, comments: list[str]) -> None:
    if len(comments) < 2:
        return
    if comments[1] in ("U", "arm_64"):
        agent.os = _windows(comments[2] if len(comments) > 2 else comments[1])
    elif "Android" in agent.platform:
        agent.mobile, agent.os, agent.platform = True, agent.platform, _windows(comments[1])
    elif comments[0] in ("Mobile", "Tablet"):
        agent.mobile, agent.os = True, "FirefoxOS"
    else:
        agent.os = agent.os or _windows(comments[1])


def _of_trident(agent: BrowserHeader, comments: list[str]) -> None:
    agent.platform = "Windows"
    agent.os = agent.os or (_windows(comments[2]) if len(comments) > 2 else "Windows NT 4.0")
    agent.mobile = agent.mobile or any(comment.startswith("IEMobile") for comment in comments)


def _is_google_or_bing(agent: BrowserHeader) -> bool:
    if "Google" in agent.text or "bingbot" in agent.text:
        agent.platform, agent.undecided = "", True
    return agent.undecided


def _is_preview(agent: BrowserHeader) -> bool:
    if "facebookexternalhit" not in agent.text or "Twitterbot" not in agent.text:
        return False
    agent.bot, agent.browser, agent.engine, agent.engine_version = True, "iMessage-Preview", "", ""
    return True


def _find_bot(agent: BrowserHeader) -> None:
    first = agent.products[0]
    if len(agent.products) == 1 and first.name != "Mozilla":
        agent.mozilla = ""
        named = _BOT.search(first.name) is not None
        _simple(agent, first.name, "" if named else first.version, bot=named or bool(_site_name(first.comments)))
        return
    name = next(filter(None, (_site_name(product.comments) for product in agent.products)), "")
    if name:
        browser, _, version = name.partition("/")
        _simple(agent, browser, version, bot=True)
    else:
        agent.browser, agent.browser_version, agent.mozilla = first.name, first.version, ""


def _simple(agent: BrowserHeader, name: str, version: str, *, bot: bool) -> None:
    agent.bot, agent.browser, agent.browser_version = bot, name, version
    agent.mozilla = agent.mozilla if bot else ""
    agent.engine = agent.engine_version = agent.os = ""


def _site_name(comments: list[str]) -> str:
    """The name of a bot whose comment has its web site: what is before the site, else the site."""
    if not comments:
        return ""
    at = 0 if len(comments) < 3 else 3 if len(comments) == 4 else 2
    site = _SITE.search(comments[at])
    return "" if site is None else site[0] if at == 0 else comments[at - 1].strip()


AGENTS: dict[str, Function] = {
    "useragent": Function("agent, feature", Yields.TEXT, agent_feature, {'useragent(agent, "browser")': "Firefox"}),
    "useragent.map": Function(
        "agent", Yields.MAP, agent_features, {"array.index(mapkeys(useragent.map(agent)), 0)": "bot"}
    ),
}
