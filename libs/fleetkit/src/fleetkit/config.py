"""Settings that every service shares; each service's config.py subclasses `FleetSettings`."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class FleetSettings(BaseSettings):
    """Settings from the environment, `FLEETDESK_<NAME>`, read once at start and then frozen.

    Addresses are gRPC targets ("127.0.0.1:50051" or "dns:///retrieval:50051"); a service sets
    those of the services it calls. Ports are chosen by the system where a bind ends in ":0" and
    are then found in `port_file`.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLEETDESK_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    service: ClassVar[str]

    environment: Literal["local", "production"] = "local"
    postgres_url: SecretStr
    postgres_owner_url: SecretStr | None = None
    postgres_pool_max: int = Field(default=8, ge=1, le=100)
    nats_url: str = "nats://127.0.0.1:4222"
    nats_nkey_file: Path | None = None
    nats_replicas: int = Field(default=1, ge=1, le=5)
    # What a killed process had in hand comes again after so long; one that works says so meanwhile.
    nats_ack_wait_s: float = Field(default=30.0, ge=1, le=300)
    keys_dir: Path
    grpc_bind: str = "127.0.0.1:0"
    metrics_bind: str = "127.0.0.1:0"
    port_file: Path | None = None
    gateway_address: str = ""
    conversation_address: str = ""
    retrieval_address: str = ""
    llm_gateway_address: str = ""
    memory_address: str = ""
    billing_address: str = ""
    analytics_address: str = ""
    vision_agent_address: str = ""
    blob_url: str = ""
    clock_file: Path | None = None
    fetch_allow: str = ""
    """Networks beside the public internet that may be fetched from, "127.0.0.0/8,::1"."""
    otlp_endpoint: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    shutdown_grace_s: float = Field(default=10.0, ge=0, le=300)

    @model_validator(mode="after")
    def _refuse_moved_clock_in_production(self) -> Self:
        if self.environment == "production" and self.clock_file is not None:
            raise ValueError("clock_file moves the fleet's clock and is refused in production")
        return self

    @model_validator(mode="after")
    def _refuse_inner_networks_in_production(self) -> Self:
        if self.environment == "production" and self.fetch_allow:
            raise ValueError("fetch_allow opens inner networks and is refused in production")
        return self

    @property
    def package(self) -> str:
        """The service's name where a dash may not stand: package, schema, role, proto, subject."""
        return self.service.replace("-", "_")

    def address_of(self, service: str) -> str:
        """The gRPC target of `service`; ValueError when this process has none configured."""
        name = f"{service.replace('-', '_')}_address"
        address = getattr(self, name, "")
        if not address:
            raise ValueError(f"FLEETDESK_{name.upper()} is not set: {self.service} calls {service}")
        return address


def split_bind(bind: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"; ValueError when it is neither."""
    host, separator, port = bind.rpartition(":")
    if not separator or not port.isdigit():
        raise ValueError(f"{bind!r} is not of the form host:port")
    return host.strip("[]"), int(port)
