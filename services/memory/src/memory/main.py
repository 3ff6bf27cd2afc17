"""Composes memory."""

from fleetdesk.memory.v1.memory_service_pb2_grpc import add_MemoryServiceServicer_to_server
from fleetkit.service import Runtime, cli
from fleetkit.tokens import TokenCounter, tokenizer_path

from memory.api import MemoryApi
from memory.config import Settings
from memory.erasure import ERASURE
from memory.events import HANDLERS
from memory.window import Limits


def build(rt: Runtime) -> None:
    """Adds the RPCs and the event handlers; ValueError when there is no tokenizer."""
    tokens = TokenCounter(tokenizer_path(rt.settings.tokenizer_file))
    limits = Limits(rt.settings.window_messages, rt.settings.window_tokens)
    rt.consume(HANDLERS)
    rt.erase(ERASURE)
    rt.server.add(add_MemoryServiceServicer_to_server, MemoryApi(rt.db, tokens, limits))


def main() -> None:
    """Runs the command line."""
    cli(Settings, build, "memory")
