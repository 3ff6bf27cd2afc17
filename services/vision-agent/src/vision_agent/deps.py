"""What the capabilities work with, constructed once in main.py."""

from dataclasses import dataclass

from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from fleetkit.clock import Clock
from fleetkit.postgres import Database

from vision_agent.config import Settings
from vision_agent.frames.deciding import Rules
from vision_agent.frames.images import FrameLimits
from vision_agent.reading import Reading
from vision_agent.screens import Screens
from vision_agent.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Deps:
    """The parts of this process."""

    settings: Settings
    db: Database
    clock: Clock
    rules: Rules
    limits: FrameLimits
    screens: Screens
    statistics: Statistics
    reading: Reading
    conversation: ConversationServiceStub
    billing: BillingServiceStub
