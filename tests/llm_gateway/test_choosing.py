"""Embedding only what could stand in an answer: the answer is the one that all vectors give."""

import hashlib
import random
import re

import numpy as np
from llm_gateway.extractive.ranking import Vector, Vectors, load_weights, rank
from llm_gateway.providers.extractive import Prepared, compose_answer, prepare
from llm_gateway.question import Passage, Question

WORDS = ["router", "port", "cable", "reset", "light", "delivery", "refund", "account", "password"]
FILLER = ["the", "is", "a", "of", "and", "when", "before", "every", "new", "old", "box", "day"]
HEADINGS = ["How do I reset it?", "Delivery", "Ports", ""]


def vector(text: str) -> Vector:
    """Texts that share words are alike, as with the real model; made from nothing but the text."""
    total = np.zeros(384)
    for word in re.findall(r"\w+", text.lower()):
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(384)
    return (total / max(1e-12, float(np.linalg.norm(total)))).astype(np.float32)


def question(rng: random.Random) -> Question:
    def sentence() -> str:
        words = rng.choices(WORDS, k=3) + rng.choices(FILLER, k=4)
        return " ".join(rng.sample(words, len(words))).capitalize() + "."

    passages = tuple(
        Passage(
            f"c{number}",
            f"d{number}",
            rng.choice(WORDS),
            (rng.choice(HEADINGS),),
            " ".join(sentence() for _ in range(rng.randint(1, 12))),
            0.0,
        )
        for number in range(5)
    )
    asked = " ".join(rng.sample(WORDS, rng.randint(1, 3))) + "?"
    return Question("extractive", "", (), passages, asked, 1024, 0, False)


def everything(prepared: Prepared) -> Vectors:
    headings = {candidate.heading for candidate in prepared.candidates}
    return Vectors(
        vector(prepared.asked),
        [vector(candidate.unit.text) for candidate in prepared.candidates],
        {heading: vector(heading) for heading in headings if heading},
    )


class TestChoosing:
    def test_the_answer_is_the_one_that_all_vectors_give_with_fewer_of_them(self) -> None:
        rng, weights = random.Random(1), load_weights()
        embedded = of = answered = 0
        for _ in range(60):
            asked = question(rng)
            prepared = prepare(asked)
            steps = prepared.choosing(weights)
            texts = next(steps)
            while True:
                embedded += len(texts)
                try:
                    texts = steps.send([vector(text) for text in texts])
                except StopIteration as end:
                    chosen = end.value
                    break
            of += 1 + len(prepared.candidates)
            whole = rank(prepared.query, prepared.candidates, everything(prepared), weights)
            parts = compose_answer(asked, prepared, whole, weights)
            assert compose_answer(asked, prepared, chosen, weights) == parts
            answered += bool(parts)
        assert answered > 20
        assert embedded < 0.8 * of
