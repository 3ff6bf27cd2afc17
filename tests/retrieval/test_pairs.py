"""Questions as people send them: what is taken, and where what is wrong is said to be."""

import json

import pytest
from fleetkit.errors import InvalidArgument
from retrieval.evaluation.pairs import MAX_CONTENT_BYTES, MAX_QUESTIONS, parse


def taken(content: str | bytes) -> dict[str, list[str]]:
    encoded = content.encode() if isinstance(content, str) else content
    return {each.question: [d.text for d in each.documents] for each in parse(encoded)}


class TestTaken:
    @pytest.mark.parametrize(
        "content",
        [
            "question,document\nHow?,a\nHow?,b\nWhy?,c\n",
            "\ufeffDocument;Note;Question\r\na;x;How?\r\nb;;How?\r\n;;\r\nc;;Why?\r\n",
            'question\tdocument\n"How?"\ta\n How? \tb\nWhy?\t"c"\n',
            '[{"question":"How?","documents":["a","b"]},{"question":"Why?","document":"c"}]',
            '{"questions":[{"question":"How?","documents":["a","b","b"]},{"question":"Why?","document":"c"}]}',
        ],
    )
    def test_csv_and_json_say_the_same(self, content):
        assert taken(content) == {"How?": ["a", "b"], "Why?": ["c"]}

    def test_a_question_may_have_several_lines(self):
        assert taken('question,document\n"How\nlong?",a\n') == {"How long?": ["a"]}


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "field", "said"),
        [
            ("", "content", "there are no questions"),
            ("question,document\n", "content", "there are no questions"),
            ("[]", "content", "there are no questions"),
            (b"question,document\nH\xf6w?,a\n", "content", "not UTF-8 (byte 19)"),
            ("query,document\nHow?,a\n", "content", 'row 1 has no column "question"'),
            ("question,document\nHow?,a\n,b\n", "row 3, column question", "is empty"),
            ("question,document\nHow?, \n", "row 2, column document", "no document is named"),
            ("question,document\nHow?\n", "row 2", "only 1 of the columns"),
            ('question,document\n"How?,a\n', "content", "row 2 can't be read as CSV"),
            (f"question,document\n{'x' * 2001},a\n", "row 2, column question", "at most 2,000"),
            ("[1]", "questions[0]", "no object"),
            ('[{"question":"How?"}]', "questions[0].documents", "no document is named"),
            ('[{"question":3,"document":"a"}]', "questions[0].question", "a text is needed"),
            ('[{"question":"a","documents":["a",""]}]', "questions[0].documents[1]", "no document"),
            ('[{"question":"a","document":"a","x":1}]', "questions[0].x", "no such field"),
            ('{"questions":1}', "content", "no list"),
            ('[{"question":', "content", "begin like JSON"),
            ("[" * 100_000, "content", "begin like JSON"),
        ],
    )  # fmt: skip
    def test_says_where_and_what(self, content, field, said):
        with pytest.raises(InvalidArgument) as refused:
            taken(content)
        assert refused.value.field == field
        assert said in refused.value.message

    def test_names_the_first_five_and_counts_the_others(self):
        rows = "".join(f",d{n}\n" for n in range(8))
        with pytest.raises(InvalidArgument) as refused:
            taken("question,document\n" + rows)
        assert refused.value.message.count("row ") == 5
        assert refused.value.message.endswith("and 3 more")

    def test_limits_size_and_number(self):
        with pytest.raises(InvalidArgument, match="1,048,576"):
            taken(b"x" * (MAX_CONTENT_BYTES + 1))
        asked = [{"question": f"Q{n}", "document": "a"} for n in range(MAX_QUESTIONS + 1)]
        with pytest.raises(InvalidArgument, match="at most 1,000 questions"):
            taken(json.dumps(asked))
        with pytest.raises(InvalidArgument, match="at most 20 documents"):
            taken(json.dumps([{"question": "Q", "documents": [str(n) for n in range(21)]}]))
