"""The services that the gateway calls."""

from typing import TypeVar

from fleetdesk.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from fleetdesk.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from fleetdesk.conversation.v1.agent_service_pb2_grpc import AgentServiceStub
from fleetdesk.conversation.v1.conversation_service_pb2_grpc import ConversationServiceStub
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetdesk.llm_gateway.v1.model_settings_service_pb2_grpc import ModelSettingsServiceStub
from fleetdesk.retrieval.v1.evaluation_service_pb2_grpc import EvaluationServiceStub
from fleetdesk.retrieval.v1.experiment_service_pb2_grpc import ExperimentServiceStub
from fleetdesk.retrieval.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from fleetdesk.vision_agent.v1.vision_agent_service_pb2_grpc import VisionAgentServiceStub
from fleetkit.rpc.client import RpcClients
from fleetkit.rpc.retry import retry_idempotent
from grpc.aio import UnaryUnaryMultiCallable

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Clients:
    """A stub for each service. Calls carry the identity and deadline of the request at hand.

    ValueError when the address of one is not configured.
    """

    def __init__(self, channels: RpcClients) -> None:
        conversation = channels.channel("conversation")
        self.agents = AgentServiceStub(conversation)
        self.conversations = ConversationServiceStub(conversation)
        knowledge = channels.channel("retrieval")
        self.retrieval = RetrievalServiceStub(knowledge)
        self.evaluations = EvaluationServiceStub(knowledge)
        self.experiments = ExperimentServiceStub(knowledge)
        models = channels.channel("llm-gateway")
        self.models = LlmGatewayServiceStub(models)
        self.model_settings = ModelSettingsServiceStub(models)
        self.vision = VisionAgentServiceStub(channels.channel("vision-agent"))
        self.billing = BillingServiceStub(channels.channel("billing"))
        self.analytics = AnalyticsServiceStub(channels.channel("analytics"))


async def call(
    method: UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT
) -> ResponseT:
    """The response of a call that is safe to repeat; tried again while the service is away.

    Safe are reads, and writes that the service knows again by request_id or by what they name.
    Raises the FleetError that the service raised.
    """

    async def once() -> ResponseT:
        return await method(request)

    return await retry_idempotent(once)
