"""The frame around every page: rail, tenant, theme, notices."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from gateway.auth.principal import Role

Theme = Literal["system", "light", "dark"]
Tone = Literal["good", "warn", "bad", "busy", "info", ""]


@dataclass(frozen=True, slots=True)
class NavItem:
    """A page in the rail; `key` is the letter after `g`."""

    page: str
    label: str
    icon: str
    href: str
    key: str
    on_phone: bool = True
    parent: str = ""
    min_role: Role = Role.VIEWER


NAV = (
    NavItem("home", "Home", "house", "/", "h"),
    NavItem("knowledge", "Knowledge", "book-open", "/knowledge", "k"),
    NavItem("conversations", "Conversations", "messages-square", "/conversations", "c"),
    NavItem(
        "waiting",
        "Waiting",
        "headset",
        "/conversations?status=waiting",
        "i",
        on_phone=False,
        parent="conversations",
    ),
    NavItem("agent", "Agent", "bot", "/agent", "t"),
    NavItem("costs", "Costs", "coins", "/costs", "o"),
    NavItem("budgets", "Budgets", "coins", "/costs/budgets", "b", False, "costs"),
    NavItem("settings", "Settings", "settings", "/settings/widget", "s"),
    NavItem("widget", "Widget", "message-circle", "/settings/widget", "w", False, "settings"),
    NavItem("general", "General", "settings", "/settings/general", "n", False, "settings"),
    NavItem("team", "Team", "user-round", "/settings/team", "p", False, "settings"),
    NavItem("models", "Models", "cpu", "/settings/models", "m", False, "settings"),
    NavItem(
        "api-keys",
        "API keys",
        "key-round",
        "/settings/api-keys",
        "a",
        on_phone=False,
        parent="settings",
        min_role=Role.ADMIN,
    ),
    NavItem(
        "erasure",
        "Erasure",
        "eraser",
        "/settings/erasure",
        "e",
        on_phone=False,
        parent="settings",
        min_role=Role.ADMIN,
    ),
    NavItem(
        "audit",
        "Audit",
        "file-text",
        "/settings/audit",
        "u",
        on_phone=False,
        parent="settings",
        min_role=Role.ADMIN,
    ),
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence on top of the page; `tone` decides its icon."""

    text: str
    tone: Tone = "info"


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page of a signed-in person shares. `page` is the rail's entry."""

    page: str
    tenant_name: str
    user_email: str
    role: str
    csrf_token: str
    path: str
    theme: Theme = "system"
    query: str = ""
    notices: tuple[Notice, ...] = ()
    nav: tuple[NavItem, ...] = NAV

    @property
    def parent(self) -> str:
        """The rail's top entry that this page belongs to."""
        return next((item.parent for item in self.nav if item.page == self.page), "") or self.page

    @property
    def siblings(self) -> tuple[NavItem, ...]:
        """The pages under the same top entry: a phone has no rail that shows them."""
        return tuple(item for item in self.nav if item.parent == self.parent)

    @property
    def may_edit(self) -> bool:
        """Whether the person's role may change knowledge; the services decide, this only hides."""
        return self.role in {"agent", "admin", "owner"}

    @property
    def may_admin(self) -> bool:
        """Whether the person's role may configure agents and keys."""
        return self.role in {"admin", "owner"}


@dataclass(frozen=True, slots=True)
class Tab:
    """A link among several, one of which is current."""

    label: str
    href: str
    current: bool
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Badge:
    """A state in an icon and a word."""

    label: str
    icon: str
    tone: Tone = ""


def link(path: str, **query: str | int | None) -> str:
    """`path` with those of the query parameters that say something."""
    said = {key: value for key, value in query.items() if value not in (None, "", 0)}
    return f"{path}?{urlencode(said)}" if said else path
