"""Token vectors: what pairing and packing keep."""

import numpy as np
import pytest
from llm_gateway.minilm import token_vectors as tv


def drawn(rows: int, columns: int) -> tv.Matrix:
    vectors = np.random.default_rng(3).standard_normal((rows, columns)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class TestPaired:
    @pytest.mark.parametrize(("rows", "left"), [(1, 1), (2, 1), (3, 2), (20, 10), (21, 11)])
    def test_leaves_half_as_many_unit_vectors(self, rows: int, left: int) -> None:
        found = tv.paired(drawn(rows, 8))
        assert found.shape == (left, 8)
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)

    def test_joins_those_that_say_the_same(self) -> None:
        one, two = np.eye(8, dtype=np.float32)[:2]
        assert np.allclose(sorted(tv.paired(np.stack([one, two, one, two])).tolist()), [two, one])


class TestPack:
    def test_takes_34_bytes_a_row_and_keeps_directions(self) -> None:
        vectors = drawn(50, tv.DIMENSIONS)
        packed = tv.pack(vectors)
        assert len(packed) == 50 * tv.TOKEN_BYTES == 50 * 34
        again = tv.unpack(packed)
        cosines = (again * vectors).sum(axis=1) / np.linalg.norm(again, axis=1)
        assert cosines.min() > 0.98

    def test_bytes_of_another_length_are_refused(self) -> None:
        with pytest.raises(ValueError, match="reshape"):
            tv.unpack(b"\x00" * 35)


class TestLateInteraction:
    def test_is_the_sum_of_the_closest_by_share(self) -> None:
        axes = np.eye(tv.DIMENSIONS, dtype=np.float32)
        query = axes[:2] * np.array([[0.25], [0.75]], np.float32)
        assert tv.late_interaction(query, axes[:1]) == 0.25
        assert tv.late_interaction(query, axes[:5]) == 1.0

    def test_a_passage_about_the_same_is_closer_than_another(self) -> None:
        tokens = drawn(30, 384)
        query = tv.unpack_query(tv.of_query(tokens[:4], [2000, 3000, 4000, 5000]))
        same, other = tv.of_passage(tokens), tv.of_passage(drawn(60, 384)[30:])
        assert tv.late_interaction(query, tv.unpack(same)) > 0.5
        assert tv.late_interaction(query, tv.unpack(other)) < 0.5
