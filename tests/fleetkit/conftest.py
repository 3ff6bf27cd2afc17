"""The echo service, for the tests of fleetkit."""

import importlib
import importlib.resources
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc_tools import protoc
from harness.echo import EchoProtos, EchoService

PROTOS = Path(__file__).parent / "protos"


@pytest.fixture(scope="session")
def echo_protos(tmp_path_factory: pytest.TempPathFactory) -> EchoProtos:
    out = tmp_path_factory.mktemp("protos_py")
    (out / "fleetkit_test_protos").mkdir()
    status = protoc.main(
        [
            "protoc",
            f"--proto_path=fleetkit_test_protos={PROTOS}",
            f"--proto_path={PROTOS.parents[2] / 'protos'}",
            f"--proto_path={importlib.resources.files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            *(f"fleetkit_test_protos/{path.name}" for path in sorted(PROTOS.glob("*.proto"))),
        ]
    )
    assert status == 0
    sys.path.insert(0, str(out))
    try:
        return EchoProtos(
            pb=importlib.import_module("fleetkit_test_protos.echo_pb2"),
            echo=importlib.import_module("fleetkit_test_protos.echo_pb2_grpc"),
            unguarded=importlib.import_module("fleetkit_test_protos.unguarded_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(out))


@pytest.fixture
async def rpc(echo_protos: EchoProtos, keys_dir: Path) -> AsyncIterator[EchoService]:
    made = EchoService(echo_protos, keys_dir)
    await made.start()
    yield made
    await made.stop()
