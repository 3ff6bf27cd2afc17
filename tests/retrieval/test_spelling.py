"""Misspelt words: what they are taken for, and what is left alone."""

import pytest
from harness.retrieval_index import put_bags
from retrieval.index.spelling import guesses, nearest, unknown_words

VOCABULARY = ["kettl", "kitchen", "toaster", "warranti", "water"]


class TestNearest:
    @pytest.mark.parametrize(
        ("word", "term"),
        [
            ("ketle", "kettl"),
            ("tosater", "toaster"),
            ("warrenty", "warranti"),
            ("wather", "water"),
            ("kettles", "kettl"),
            ("giraffe", None),
            ("wart", None),
        ],
    )
    def test_is_the_term_with_fewest_edits(self, word, term):
        assert nearest(word, VOCABULARY) == term


class TestUnknownWords:
    def test_are_those_of_which_no_term_is_known(self):
        assert unknown_words("The kettle of my grandfather", {"kettl"}) == ["grandfather"]

    def test_leaves_short_and_stop_words_alone(self):
        assert unknown_words("what is the cat", set()) == []


class TestGuesses:
    async def test_are_of_the_tenants_own_words(self, db, tenant_id, other_tenant_id):
        await put_bags(db, tenant_id, [dict.fromkeys(VOCABULARY, 1.0)])
        await put_bags(db, other_tenant_id, [{"tomato": 1.0}])
        async with db.tenant(tenant_id) as conn:
            assert await guesses(conn, tenant_id, "my tosater", set()) == ["toaster"]
            assert await guesses(conn, tenant_id, "my tomatto", set()) == []
