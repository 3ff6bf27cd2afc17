"""Settings of the gateway."""

import re
from typing import ClassVar, Self
from urllib.parse import urlsplit

from fleetkit.config import FleetSettings
from pydantic import Field, SecretStr, field_validator, model_validator


class GatewaySettings(FleetSettings):
    """Settings of the only public process, from `FLEETDESK_<NAME>`.

    `public_url` is where people reach it ("https://desk.example.com"): required in production,
    where it is the only host that is answered. `trusted_proxies` are the addresses whose
    X-Forwarded-For is believed. `secrets_key` is "<key id>:<32 bytes in base64>", several
    separated by commas, the first encrypting; locally one is derived from the service's own key.
    `smtp_url` is the server that mail goes to, "smtp://user:password@mail.example.com:587" (or
    smtps://); without it mail is not sent, and locally shown on the console. `mail_from` is the
    sender's address, by default fleetdesk@ the host of `public_url`.
    `auto_verify` takes each e-mail as verified; locally that is the default.
    """

    service: ClassVar[str] = "gateway"

    http_bind: str = "127.0.0.1:8080"
    public_url: str | None = None
    trusted_proxies: str = ""
    auto_verify: bool | None = None
    default_plan: str = "free"
    secrets_key: SecretStr | None = None
    smtp_url: SecretStr | None = None
    mail_from: str = ""
    postgres_pool_max: int = Field(default=16, ge=1, le=100)
    max_streams: int = Field(default=2_000, ge=1)

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
            raise ValueError("is an origin such as https://desk.example.com, without a path")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            is_server = parts.scheme in ("smtp", "smtps") and parts.hostname and parts.port != 0
            if not is_server or parts.path:
                raise ValueError("is such as smtp://user:password@mail.example.com:587")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", value):
            raise ValueError("is an address such as fleetdesk@example.com")
        return value

    @model_validator(mode="after")
    def _refuse_local_ways_in_production(self) -> Self:
        if self.environment != "production":
            return self
        if self.auto_verify:
            raise ValueError("auto_verify takes every e-mail as verified: refused in production")
        if self.public_url is None or not self.public_url.startswith("https://"):
            raise ValueError("public_url is required in production and starts with https://")
        if self.secrets_key is None:
            raise ValueError("secrets_key is required in production")
        return self

    @property
    def verifies_at_once(self) -> bool:
        """Whether an e-mail counts as verified without a mail having been answered."""
        if self.auto_verify is not None:
            return self.auto_verify
        return self.environment == "local"

    @property
    def sender(self) -> str:
        """The address that mail comes from."""
        host = urlsplit(self.public_url).hostname if self.public_url else None
        return self.mail_from or f"fleetdesk@{host or 'localhost'}"

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies are for HTTPS only."""
        return self.environment == "production" or (self.public_url or "").startswith("https://")
