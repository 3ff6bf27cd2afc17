"""The routes of the API as they are declared, and who must not get through them."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from gateway.access import ANY_SCOPE, Access, access_of
from gateway.app import API
from gateway.auth.principal import SCOPES, Role

_IDS = (
    "agent_id",
    "conversation_id",
    "source_id",
    "website_id",
    "document_id",
    "key_id",
    "visitor_id",
    "erasure_id",
    "budget_id",
    "evaluation_id",
    "experiment_id",
    "conflict_id",
    "user_id",
    "invitation_id",
)
UNSAFE = {"POST", "PUT", "DELETE"}


@dataclass(frozen=True)
class Route:
    """A route of the API."""

    method: str
    path: str
    access: Access

    def url(self, conversation_id: UUID | None = None) -> str:
        """Its path with ids that nobody has."""
        path = self.path.replace("{conversation_id:uuid}", str(conversation_id or uuid4()))
        for name in _IDS:
            path = path.replace(f"{{{name}:uuid}}", str(uuid4()))
        return path

    @property
    def unsafe(self) -> bool:
        """Whether it changes something, as far as browsers know."""
        return self.method in UNSAFE

    @property
    def takes_keys(self) -> bool:
        """Whether API keys may use it."""
        return self.access.role is not None and self.access.scope is not None

    @property
    def lower_roles(self) -> list[Role]:
        """The roles that are too low."""
        return [role for role in Role if self.access.role and role < self.access.role]

    @property
    def other_scope(self) -> str:
        """A scope that is not its own."""
        return next(scope for scope in SCOPES if scope != self.access.scope)

    @property
    def own_scope(self) -> str:
        """The least scope that lets a key in."""
        scope = self.access.scope
        return SCOPES[0] if scope is None or scope == ANY_SCOPE else scope

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def api_routes() -> Iterator[Route]:
    """Every route of the API."""
    for handler in API:
        access = access_of(handler)
        assert access is not None, f"{handler} lets nobody in"
        for path in handler.paths:
            yield Route(min(handler.http_methods), path, access)
