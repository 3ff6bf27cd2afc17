"""Chunks: whole where they can be, cut where they must be, never beside the text."""

import itertools
from pathlib import Path

import pytest
from fleetkit.tokens import TokenCounter, tokenizer_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retrieval.parsing import markdown
from retrieval.parsing.chunking import Chunk, ChunkSizes, chunk
from retrieval.parsing.document import BlockKind, DocumentBuilder, ParsedDocument

SMALL = ChunkSizes(target_tokens=20, whole_tokens=40, min_tokens=8, overlap_tokens=6, max_chars=200)


@pytest.fixture(scope="module")
def tokens() -> TokenCounter:
    path: Path = tokenizer_path(None)
    return TokenCounter(path)


def cut(source: str, tokens: TokenCounter, sizes: ChunkSizes = SMALL) -> list[tuple[str, Chunk]]:
    document = markdown.parse(source, 10**6)
    return texts(document, chunk(document, tokens.map(document.text), sizes))


def texts(document: ParsedDocument, chunks: list[Chunk]) -> list[tuple[str, Chunk]]:
    return [(document.text[piece.start : piece.end], piece) for piece in chunks]


class TestChunk:
    def test_keeps_a_section_whole_and_names_its_headings(self, tokens):
        ((text, piece),) = cut("# Boards\n\n## Uno\n\nThe Uno has a USB port.\n", tokens)
        assert text == "The Uno has a USB port."
        assert piece.heading_path == ("Boards", "Uno")

    def test_does_not_mix_sections_that_are_large_enough(self, tokens):
        source = "# One\n\n" + "Alpha beta gamma delta. " * 3 + "\n\n# Two\n\n" + "Epsilon. " * 6
        pieces = cut(source, tokens)
        assert [piece.heading_path for _, piece in pieces] == [("One",), ("Two",)]

    def test_joins_small_sections_with_their_headings_in_the_text(self, tokens):
        ((text, piece),) = cut("# FAQ\n\n## One\n\nYes.\n\n## Two\n\nNo.\n", tokens)
        assert text == "One\n\nYes.\n\nTwo\n\nNo."
        assert piece.heading_path == ("FAQ",)

    def test_repeats_the_last_sentence_only_where_a_section_is_cut(self, tokens):
        pieces = cut("# A\n\n" + " ".join(f"Sentence number {n} ends." for n in range(12)), tokens)
        assert len(pieces) > 1
        for (_, former), (_, latter) in itertools.pairwise(pieces):
            assert latter.start < former.end
            assert former.end - latter.start < 40

    def test_keeps_lists_and_code_whole_above_the_target(self, tokens):
        steps = "\n".join(f"{n}. Press the button {n} times" for n in range(1, 6))
        ((text, piece),) = cut(f"# Steps\n\n{steps}\n", tokens)
        assert text == steps
        assert SMALL.target_tokens < piece.token_count <= SMALL.whole_tokens

    def test_cuts_a_huge_list_between_its_items(self, tokens):
        steps = "\n".join(f"- Press the button {n} times" for n in range(40))
        pieces = cut(steps, tokens)
        assert all(text.startswith("- Press") and text.endswith("times") for text, _ in pieces)
        assert "\n".join(text for text, _ in pieces) == steps

    def test_makes_a_chunk_of_a_heading_without_text(self, tokens):
        pieces = cut("# Opening hours\n\n# Prices\n\nFree.\n", tokens)
        assert "Opening hours" in pieces[0][0]

    def test_cuts_a_word_without_end(self, tokens):
        pieces = cut("x" * 1_000, tokens)
        assert "".join(text for text, _ in pieces) == "x" * 1_000
        assert max(len(text) for text, _ in pieces) <= SMALL.max_chars


BLOCKS = st.lists(
    st.tuples(
        st.sampled_from([*BlockKind]),
        st.integers(1, 4),
        st.text(alphabet=st.sampled_from("ab .\n。é🙂-1x"), min_size=1, max_size=300),
    ),
    min_size=1,
    max_size=12,
)


class TestAnyDocument:
    @settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(BLOCKS)
    def test_is_covered_within_the_limits_by_spans_of_its_text(self, tokens, blocks):
        builder = DocumentBuilder(10**6)
        builder.add(BlockKind.PARAGRAPH, "start")
        for kind, level, text in blocks:
            if kind is BlockKind.HEADING:
                builder.heading(level, text)
            else:
                builder.add(kind, text)
        document = builder.build("text/plain", "")
        token_map = tokens.map(document.text)
        chunks = chunk(document, token_map, SMALL)
        covered: set[int] = set()
        for piece in chunks:
            assert 0 <= piece.start < piece.end <= len(document.text)
            assert document.text[piece.start : piece.end].strip()
            assert piece.token_count == token_map.count(piece.start, piece.end)
            assert piece.token_count <= SMALL.whole_tokens
            assert piece.end - piece.start <= SMALL.max_chars
            covered.update(range(piece.start, piece.end))
        assert [c.start for c in chunks] == sorted(c.start for c in chunks)
        for block in document.blocks:
            if block.kind is not BlockKind.HEADING:
                missing = set(range(block.start, block.end)) - covered
                assert not "".join(document.text[i] for i in missing).strip()
