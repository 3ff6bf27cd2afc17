"""Answer by Claude: the official SDK against a server that speaks its wire format."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from fakes.anthropic_server import Answer, Block, Failure, FakeAnthropic, Reset, overloaded
from fakes.anthropic_server import rate_limited
from fleetdesk.llm_gateway.v1 import llm_gateway_service_pb2 as pb
from fleetdesk.llm_gateway.v1.llm_gateway_service_pb2_grpc import LlmGatewayServiceStub
from fleetkit.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FleetError,
    ResourceExhausted,
    Unavailable,
)
from harness.services import Running
from harness.waiting import eventually
from pydantic import SecretStr

from tests.llm_gateway.test_answer import COOKING, ROUTER, ask, asking, passage

As = Callable[..., Any]
HAIKU = "anthropic/claude-haiku-4-5"
