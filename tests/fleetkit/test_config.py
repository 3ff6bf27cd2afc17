"""Settings that all services share."""

from pathlib import Path
from typing import Any

import pytest
from fleetkit.config import FleetSettings, split_bind
from harness.echo import settings_of
from pydantic import ValidationError


class LlmSettings(FleetSettings):
    """Of a service with a dash in its name."""

    service = "llm-gateway"


class TestFleetSettings:
    def test_come_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("FLEETDESK_POSTGRES_URL", "postgresql://me:secret@db/fleetdesk")
        monkeypatch.setenv("FLEETDESK_KEYS_DIR", str(tmp_path))
        monkeypatch.setenv("FLEETDESK_SHUTDOWN_GRACE_S", "2.5")
        monkeypatch.setenv("FLEETDESK_SOMETHING_OF_ANOTHER_SERVICE", "1")
        settings = LlmSettings()  # pyright: ignore[reportCallIssue] - from the environment
        assert settings.keys_dir == tmp_path
        assert settings.shutdown_grace_s == 2.5
        assert settings.package == "llm_gateway"

    def test_are_frozen(self, tmp_path: Path) -> None:
        settings: Any = settings_of("memory", tmp_path)
        with pytest.raises(ValidationError):
            settings.log_level = "debug"

    def test_do_not_show_secrets(self, tmp_path: Path) -> None:
        settings = settings_of("memory", tmp_path, postgres_url="postgresql://me:pa55word@db/x")
        assert "pa55word" not in repr(settings)

    def test_errors_do_not_show_what_was_given(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError) as refused:
            settings_of("memory", tmp_path, log_level="s3cret")
        assert "s3cret" not in str(refused.value)

    def test_a_moved_clock_is_refused_in_production(self, tmp_path: Path) -> None:
        clock_file = tmp_path / "clock.json"
        assert settings_of("memory", tmp_path, clock_file=clock_file).clock_file == clock_file
        with pytest.raises(ValidationError, match="refused in production"):
            settings_of("memory", tmp_path, clock_file=clock_file, environment="production")

    def test_refuse_to_open_inner_networks_in_production(self, tmp_path: Path) -> None:
        assert settings_of("memory", tmp_path, fetch_allow="127.0.0.0/8").fetch_allow
        with pytest.raises(ValidationError, match="fetch_allow"):
            settings_of("memory", tmp_path, fetch_allow="127.0.0.0/8", environment="production")


class TestSplitBind:
    @pytest.mark.parametrize(
        ("bind", "expected"),
        [
            ("127.0.0.1:0", ("127.0.0.1", 0)),
            ("[::1]:8080", ("::1", 8080)),
            (":80", ("", 80)),
        ],
    )
    def test_host_and_port(self, bind: str, expected: tuple[str, int]) -> None:
        assert split_bind(bind) == expected

    @pytest.mark.parametrize("bind", ["", "localhost", "localhost:http", "1:"])
    def test_anything_else_is_refused(self, bind: str) -> None:
        with pytest.raises(ValueError, match="host:port"):
            split_bind(bind)
