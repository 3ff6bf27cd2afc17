"""Who may call a method: the proto option `fleetdesk.options.v1.access`, enforced."""

from dataclasses import dataclass

from fleetdesk.options.v1 import access_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from fleetkit.context import Identity
from fleetkit.errors import PermissionDenied, Unauthenticated
from fleetkit.rpc.identity import Caller

_RANKS = {"viewer": 1, "agent": 2, "admin": 3, "owner": 4}


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one method; `min_rank` 0 means that no person or API key is accepted."""

    callers: frozenset[str]
    background: frozenset[str]
    min_rank: int
    visitor: bool
    no_tenant: bool

    def check(self, caller: Caller, identity: Identity | None) -> None:
        """Raises Unauthenticated or PermissionDenied unless the rules let this call in."""
        if identity is not None:
            self._check_person(caller, identity)
        elif caller.service not in self.background:
            self._refuse_without_person(caller)
        elif caller.tenant_id is None and not self.no_tenant:
            raise Unauthenticated("fd-caller names no tenant", reason="TENANT_REQUIRED")

    def _check_person(self, caller: Caller, identity: Identity) -> None:
        if caller.service not in self.callers:
            raise _caller_refused(caller)
        if identity.kind == "visitor":
            if not self.visitor:
                raise PermissionDenied("visitors may not do this", reason="VISITOR_NOT_ALLOWED")
            return
        rank = max((_RANKS.get(role, 0) for role in identity.roles), default=0)
        if self.min_rank == 0 or rank < self.min_rank:
            raise PermissionDenied("your role does not allow this", reason="ROLE_TOO_LOW")

    def _refuse_without_person(self, caller: Caller) -> None:
        if caller.service in self.callers:
            raise Unauthenticated("this call needs fd-identity", reason="IDENTITY_REQUIRED")
        raise _caller_refused(caller)


def access_of_service(service_name: str) -> dict[str, Access]:
    """The access of each method of a registered proto service, by method name.

    ValueError naming the first method without the option: nothing is open by omission.
    """
    pool = descriptor_pool.Default()
    service: ServiceDescriptor = pool.FindServiceByName(service_name)
    found: dict[str, Access] = {}
    for method in service.methods:
        options = method.GetOptions()
        if not options.HasExtension(access_pb2.access):
            raise ValueError(f"{method.full_name} has no option fleetdesk.options.v1.access")
        found[method.name] = _from_option(options.Extensions[access_pb2.access])
    return found


def _from_option(option: access_pb2.Access) -> Access:
    return Access(
        callers=frozenset(option.callers),
        background=frozenset(option.background),
        min_rank=int(option.min_role),
        visitor=option.visitor,
        no_tenant=option.no_tenant,
    )


def _caller_refused(caller: Caller) -> PermissionDenied:
    return PermissionDenied(
        f"{caller.service} may not call this method", reason="CALLER_NOT_ALLOWED"
    )
