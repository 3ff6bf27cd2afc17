"""A collector of OpenTelemetry spans (OTLP over gRPC) that keeps what it is sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc


class Collector:
    """`spans` has those of every export, as OTLP's protobuf."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.endpoint = ""

    def Export(self, request: Any, call: Any) -> Any:
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()


def attributes_of(span: Any) -> dict[str, Any]:
    """A span's attributes as Python values."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


@contextmanager
def collecting() -> Iterator[Collector]:
    """A served one."""
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

    made = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    made.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    yield made
    server.stop(None).wait()
