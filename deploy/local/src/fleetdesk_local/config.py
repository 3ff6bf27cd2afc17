"""What a person may set for a local fleet; nothing else here reads the environment."""

import os
from pathlib import Path

from fleetkit.config import FleetSettings
from pydantic import DirectoryPath, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parents[4]


class LocalSettings(BaseSettings):
    """Settings of the runner, from `FLEETDESK_<NAME>`.

    `data_dir` holds everything that a fleet keeps; two fleets differ in it and in `http_port`.
    With `postgres_url` (of an administrator) or `nats_url`, that server is used and none started.
    `demo_knowledge` is a folder whose Markdown files the demo tenant knows instead of
    Fleetdesk's README files.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLEETDESK_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data_dir: Path = Path(".data")
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=1, le=65535)
    postgres_url: SecretStr | None = None
    nats_url: str | None = None
    demo_knowledge: DirectoryPath | None = None


def service_environment() -> dict[str, str]:
    """The person's own environment, which services inherit, without what the runner decides."""
    decided = {f"FLEETDESK_{name.upper()}" for name in FleetSettings.model_fields}
    kept = {
        "FLEETDESK_ENVIRONMENT",
        "FLEETDESK_FETCH_ALLOW",
        "FLEETDESK_LOG_LEVEL",
        "FLEETDESK_OTLP_ENDPOINT",
    }
    return {name: value for name, value in os.environ.items() if name not in decided - kept}


def in_ci() -> bool:
    """Whether a CI runs us: then nothing is skipped for want of a program."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def terminal_environment() -> dict[str, str]:
    """The person's environment as it is, for a program that talks to the person."""
    return dict(os.environ)
