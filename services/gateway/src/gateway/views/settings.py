"""Settings: the widget and API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from uuid import UUID

from fleetdesk.conversation.v1 import agent_pb2

from gateway.store.api_keys import ApiKeyRow
from gateway.store.widgets import WidgetRow
from gateway.views.format import When, count, when
from gateway.views.frame import Tab, link

KEY_ROLES = (
    ("viewer", "Read"),
    ("agent", "Answer and manage knowledge"),
    ("admin", "Configure agents and keys"),
)


@dataclass(frozen=True, slots=True)
class WidgetPage:
    """How to install an agent's widget; `snippet` is "" while no agent is published."""

    agent_id: str
    agents: tuple[Tab, ...]
    snippet: str
    preview_href: str
    origin: str
    origins: str
    widget_kb: int


def published_agents(agents: Sequence[agent_pb2.Agent]) -> list[agent_pb2.Agent]:
    """Agents that visitors can talk with."""
    return [agent for agent in agents if agent.HasField("published")]


def chosen_agent(agents: Sequence[agent_pb2.Agent], agent_id: str) -> agent_pb2.Agent | None:
    """The agent asked for, else the first; None when there is none."""
    mine = (agent for agent in agents if agent.agent_id == agent_id)
    return next(mine, agents[0] if agents else None)


def widget_page(
    agents: Sequence[agent_pb2.Agent],
    agent: agent_pb2.Agent | None,
    row: WidgetRow | None,
    origin: str,
    widget_bytes: int,
) -> WidgetPage:
    """The page for `agent`, one of the published `agents`."""
    agent_id = agent.agent_id if agent else ""
    return WidgetPage(
        agent_id=agent_id,
        agents=tuple(
            Tab(
                item.published.name,
                link("/settings/widget", agent=item.agent_id),
                item.agent_id == agent_id,
            )
            for item in agents
        ),
        snippet=snippet(origin, agent_id) if agent else "",
        preview_href=link("/widget-preview", agent=agent_id),
        origin=origin,
        origins="\n".join(row.allowed_origins) if row else "",
        widget_kb=round(widget_bytes / 1000),
    )


def snippet(origin: str, agent_id: str) -> str:
    """The script tag that puts the widget on a page."""
    src, agent = escape(f"{origin}/widget.js"), escape(agent_id)
    return f'<script async src="{src}"\n        data-agent="{agent}"></script>'


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One API key as a row."""

    key_id: UUID
    name: str
    prefix: str
    role: str
    created: When
    used: When | None
    expires: When | None


@dataclass(frozen=True, slots=True)
class KeysPage:
    """The keys; `secret` is the one just made, shown this once."""

    headline: str
    rows: tuple[KeyRow, ...]
    secret: str
    roles: tuple[tuple[str, str], ...] = KEY_ROLES


def keys_page(rows: Sequence[ApiKeyRow], now: datetime, secret: str = "") -> KeysPage:
    """The page of API keys."""
    used = [row.last_used_time for row in rows if row.last_used_time]
    last = f"last used {when(max(used), now).ago}" if used else "none used yet"
    return KeysPage(
        headline=f"{count(len(rows), 'key')}, {last}." if rows else "No key is in use.",
        rows=tuple(_key_row(row, now) for row in rows),
        secret=secret,
    )


def _key_row(row: ApiKeyRow, now: datetime) -> KeyRow:
    return KeyRow(
        key_id=row.key_id,
        name=row.name,
        prefix=row.prefix,
        role=dict(KEY_ROLES).get(row.role, row.role),
        created=when(row.create_time, now),
        used=when(row.last_used_time, now) if row.last_used_time else None,
        expires=when(row.expire_time, now) if row.expire_time else None,
    )


@dataclass(frozen=True, slots=True)
class RevokeKey:
    """The question before a key is revoked."""

    key_id: UUID
    name: str
    prefix: str
    error: str = ""
