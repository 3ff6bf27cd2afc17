"""What the capabilities work with, constructed once in main.py."""

from dataclasses import dataclass, field
from uuid import UUID

from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.memory.v1.memory_service_pb2_grpc import MemoryServiceStub
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetkit.postgres import Database

from conversation.agent_config import AgentConfig
from conversation.config import Settings
from conversation.hub import Hub


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The services that conversation calls."""

    billing: BillingServiceStub
    memory: MemoryServiceStub
    retrieval: RetrievalServiceStub
    llm_gateway: LlmGatewayServiceStub


@dataclass(frozen=True, slots=True)
class Deps:
    """The parts of this process; `owner` is its name on the leases of the turns it answers.

    `versions` keeps the settings of agents' versions, by tenant, agent and number.
    """

    settings: Settings
    db: Database
    hub: Hub
    neighbours: Neighbours
    owner: UUID
    versions: dict[tuple[UUID, UUID, int], AgentConfig] = field(default_factory=dict)
