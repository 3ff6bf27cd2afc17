"""The converted model against a plain reference, its cache, and texts longer than its window."""

import multiprocessing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from llm_gateway.minilm import artifact
from llm_gateway.minilm.encoder import Encoder
from llm_gateway.minilm.windows import MAX_WINDOWS, WINDOW_TOKENS, Window, pool, window_bounds
from numpy.typing import NDArray
from safetensors.numpy import load_file

SENTENCES = (
    "How do I reset my password?",
    "Hold the power button for ten seconds, then let go.",
    "Ünïcode, 日本語 and emoji 🎛 are fine, too.",
    "x",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def float32(cache: Path) -> Encoder:
    return Encoder(artifact.ensure(artifact.weights_folder(None), cache, "float32"))


@pytest.fixture(scope="module")
def int8(cache: Path) -> Encoder:
    return Encoder(artifact.ensure(artifact.weights_folder(None), cache, "int8"))


@pytest.fixture(scope="module")
def weights() -> dict[str, NDArray[np.float32]]:
    return load_file(artifact.weights_folder(None) / "model.safetensors")


def unit(encoder: Encoder, text: str) -> NDArray[np.float32]:
    first = encoder.window(text, 0)
    return pool([first, *(encoder.window(text, i) for i in range(1, first.windows))])


class TestGraph:
    @pytest.mark.parametrize("text", SENTENCES)
    def test_float32_equals_a_plain_numpy_bert(
        self, text: str, float32: Encoder, weights: dict[str, NDArray[np.float32]]
    ) -> None:
        ids = [101, *float32._tokenizer.encode(text, add_special_tokens=False).ids, 102]
        expected = bert(weights, ids).sum(axis=0)
        np.testing.assert_allclose(float32.window(text, 0).vector_sum, expected, atol=2e-3)

    @pytest.mark.parametrize("text", SENTENCES)
    def test_int8_stays_close(self, text: str, float32: Encoder, int8: Encoder) -> None:
        assert unit(float32, text) @ unit(int8, text) > 0.97

    def test_meaning_is_nearer_than_words(self, int8: Encoder) -> None:
        question = unit(int8, "How can I get my money back?")
        near = unit(int8, "Refunds are paid within five days.")
        far = unit(int8, "How can I get to the back of the shop?")
        assert question @ near > question @ far

    def test_an_empty_text_has_a_vector(self, int8: Encoder) -> None:
        vector = unit(int8, "")
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


class TestWindows:
    def test_a_text_that_fits_is_one_window(self) -> None:
        assert window_bounds(254) == [(0, 254)]
        assert window_bounds(0) == [(0, 0)]

    def test_a_longer_text_is_cut_evenly(self) -> None:
        assert window_bounds(300) == [(0, 150), (150, 300)]

    @pytest.mark.parametrize("tokens", [255, 1000, 8128])
    def test_windows_cover_the_text_and_fit(self, tokens: int) -> None:
        bounds = window_bounds(tokens)
        assert bounds[0][0] == 0
        assert bounds[-1][1] == tokens
        assert all(end - start <= WINDOW_TOKENS - 2 for start, end in bounds)
        assert all(before[1] == after[0] for before, after in pairwise(bounds))

    def test_of_an_endless_text_evenly_spaced_windows_are_kept(self) -> None:
        bounds = window_bounds(100_000)
        assert len(bounds) == MAX_WINDOWS
        assert bounds[0][0] == 0
        assert bounds[-1][1] == 100_000

    def test_the_mean_is_weighted_by_tokens(self) -> None:
        long = Window(np.array([3.0, 0.0], np.float32) * 100, 100, 2, 0)
        short = Window(np.array([0.0, 4.0], np.float32) * 50, 50, 2, 0)
        np.testing.assert_allclose(pool([long, short]), [6 / 7.2111, 4 / 7.2111], atol=1e-4)

    def test_the_tail_of_a_long_text_counts(self, int8: Encoder) -> None:
        padding = "The weather was mild and nothing much happened that day. " * 40
        question = unit(int8, "What voltage does the battery charger need?")
        tail = unit(int8, padding + "The battery charger needs a voltage of nine volts. " * 30)
        assert question @ tail > question @ unit(int8, padding) + 0.1


class TestArtifact:
    def test_is_made_once(self, tmp_path: Path) -> None:
        weights = artifact.weights_folder(None)
        first = artifact.ensure(weights, tmp_path, "int8")
        made = first.model.stat().st_mtime_ns
        assert artifact.ensure(weights, tmp_path, "int8") == first
        assert first.model.stat().st_mtime_ns == made

    def test_two_processes_at_once_agree(self, tmp_path: Path) -> None:
        weights = artifact.weights_folder(None)
        with multiprocessing.get_context("spawn").Pool(2) as processes:
            made = processes.starmap(artifact.ensure, [(weights, tmp_path, "int8")] * 2)
        assert made[0] == made[1]
        assert [entry.name for entry in tmp_path.iterdir()] == [made[0].folder.name]

    def test_precisions_have_versions_of_their_own(self, tmp_path: Path) -> None:
        weights = artifact.weights_folder(None)
        assert artifact._digest(weights, "int8") != artifact._digest(weights, "float32")

    def test_missing_weights_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(artifact.ModelMissing, match=r"lacks model\.safetensors"):
            artifact.weights_folder(tmp_path)


def bert(weights: dict[str, NDArray[np.float32]], ids: list[int]) -> NDArray[np.float64]:
    """The last layer's token vectors, by the textbook, in double precision."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    e = "embeddings"
    x = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.token_type_embeddings.weight"][0]
    x = norm(w, f"{e}.LayerNorm", x + w[f"{e}.position_embeddings.weight"][: len(ids)])
    for layer in range(6):
        p = f"encoder.layer.{layer}"
        q, k, v = (dense(w, f"{p}.attention.self.{n}", x) for n in ("query", "key", "value"))
        q, k, v = (part.reshape(len(ids), 12, 32).transpose(1, 0, 2) for part in (q, k, v))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(32)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        attended = (shares @ v).transpose(1, 0, 2).reshape(len(ids), 384)
        attended = dense(w, f"{p}.attention.output.dense", attended)
        x = norm(w, f"{p}.attention.output.LayerNorm", x + attended)
        inner = gelu(dense(w, f"{p}.intermediate.dense", x))
        x = norm(w, f"{p}.output.LayerNorm", x + dense(w, f"{p}.output.dense", inner))
    return x


def dense(w: dict[str, NDArray[np.float64]], name: str, x: NDArray[np.float64]) -> NDArray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w: dict[str, NDArray[np.float64]], name: str, x: NDArray[np.float64]) -> NDArray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-12)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    from math import erf

    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))
