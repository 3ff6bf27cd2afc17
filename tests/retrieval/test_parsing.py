"""Parsers: what a reader would see, with its structure, from any bytes."""

import csv
import io
import zipfile
from typing import Any

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject
from retrieval.parsing.dispatch import ParseLimits, parse
from retrieval.parsing.document import BlockKind, ParsedDocument
from retrieval.parsing.errors import DocumentError
from retrieval.parsing.sniff import sniff


def read(content: str | bytes, **limits: int) -> ParsedDocument:
    encoded = content.encode() if isinstance(content, str) else content
    return parse(encoded, ParseLimits(**limits))


def refused(content: str | bytes, **limits: int) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read(content, **limits)
    return caught.value


def saved(made: Any) -> bytes:
    """The bytes of a Word document."""
    written = io.BytesIO()
    made.save(written)
    return written.getvalue()


def pdf(*pages: str, title: str = "", password: str = "") -> bytes:
    """A PDF with the lines of each page in Helvetica."""
    writer = PdfWriter()
    for lines in pages:
        page = writer.add_blank_page(595, 842)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        shown = "".join(f"({line}) Tj 0 -14 Td " for line in lines.split("\n"))
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 50 780 Td {shown}ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


class TestMarkdown:
    def test_takes_the_title_from_front_matter(self):
        document = read('---\ntitle: "Two: a title"\nid: 7\n---\n\nBody text.\n')
        assert document.media_type == "text/markdown"
        assert document.title == "Two: a title"
        assert document.text == "Body text."

    def test_takes_the_title_from_the_first_heading_otherwise(self):
        assert read("# Top\n\ntext\n").title == "Top"
        assert read("## Second\n\ntext\n").title == ""

    def test_bears_front_matter_that_is_no_yaml(self):
        assert read("---\n: [\n---\n# Top\n\ntext\n").title == "Top"

    def test_drops_marks_and_targets_but_keeps_structure(self):
        document = read(
            "# H\n\nSome **bold**, `code` and a [link](https://x.test/long).  \nNext line.\n\n"
            "1. One\n   - Inner\n2. Two\n\n| A | B |\n|---|---|\n| 1 | 2 |\n\n"
            "```c\nint  x;\n```\n\n> [!NOTE]\n> Take care.\n"
        )
        assert document.text == (
            "H\n\nSome bold, code and a link.\nNext line.\n\n1. One\n   - Inner\n2. Two\n\n"
            "A | B\n1 | 2\n\nint  x;\n\nNote: Take care."
        )
        kinds = [block.kind for block in document.blocks]
        assert kinds == [
            BlockKind.HEADING,
            BlockKind.PARAGRAPH,
            BlockKind.LIST,
            BlockKind.TABLE,
            BlockKind.CODE,
            BlockKind.PARAGRAPH,
        ]

    def test_keeps_the_path_of_headings(self):
        document = read("# A\n\n## B\n\nb\n\n### C\n\nc\n\n## D\n\nd\n")
        paths = {
            document.text[block.start : block.end]: block.heading_path
            for block in document.blocks
            if block.kind is not BlockKind.HEADING
        }
        assert paths == {"b": ("A", "B"), "c": ("A", "B", "C"), "d": ("A", "D")}

    def test_reads_html_inside(self):
        document = read("# A\n\n<div><p>Hello <b>you</b></p><script>x()</script></div>\n\ntext\n")
        assert "Hello you" in document.text
        assert "x()" not in document.text


class TestHtml:
    def test_takes_the_main_content_without_scripts_and_navigation(self):
        document = read(
            "<!doctype html><html><head><title>T &amp; x</title><style>p{}</style></head><body>"
            "<nav>Menu</nav><header>Shop</header><main><h1>Hi <em>you</em></h1><p>One<br>two</p>"
            "<script>alert(1)</script></main><footer>Foot</footer></body></html>"
        )
        assert document.media_type == "text/html"
        assert document.title == "T & x"
        assert document.text == "Hi you\n\nOne\ntwo"

    def test_keeps_lists_tables_and_code(self):
        document = read(
            "<html><body><ul><li>a<ol><li>b</li></ol></li><li>c</li></ul>"
            "<table><tr><th>X<th>Y<tr><td>1<td>2</table><pre>if x:\n    y</pre></body></html>"
        )
        assert document.text == "- a\n  1. b\n- c\n\nX | Y\n1 | 2\n\nif x:\n    y"

    def test_bears_hostile_nesting(self):
        document = read("<html><body>" + "<div>" * 20_000 + "deep" + "</div>" * 20_000)
        assert document.text == "deep"

    def test_keeps_the_order_of_what_stands_around_a_nested_list(self):
        document = read("<html><ol><li>Fill in:<ul><li>Name</li></ul>Then send.</li></ol></html>")
        assert document.text == "1. Fill in:\n   - Name\n   Then send."

    def test_counts_on_where_a_numbered_list_says_so(self):
        document = read(
            "<html><ol><li>Open it.</ol><p>A picture.</p>"
            "<ol start=2><li>Close it.<li value=5>Wait.<li>Go.</ol><ol start=x><li>End.</ol></html>"
        )
        assert document.text == (
            "1. Open it.\n\nA picture.\n\n2. Close it.\n5. Wait.\n6. Go.\n\n1. End."
        )

    def test_keeps_lists_in_boxes_within_items(self):
        document = read(
            "<html><ul><li>Then<blockquote><p>Note:</p><ol><li>Close.<li>Open.</ol></blockquote>"
            "<div>Done.</div></ul></html>"
        )
        assert document.text == "- Then\n  Note:\n  1. Close.\n  2. Open.\n  Done."

    def test_keeps_the_lines_of_code_within_an_item(self):
        document = read("<html><ol><li>Run <pre>make\nmake test</pre> and wait.</ol></html>")
        assert document.text == "1. Run\n   make\n   make test\n   and wait."

    @pytest.mark.parametrize("tags", ["<div>", "<ul><li>", "<table><tr><td>", "<b>", "<dl><dd>"])
    def test_reads_in_time_what_nests_without_end(self, tags):
        document = read("<html><body>" + tags * 20_000 + "the end</body></html>")
        assert document.text.endswith("the end")

    def test_keeps_what_ends_by_itself(self):
        document = read("<html><body><ul>" + "".join(f"<li>Tea {n}" for n in range(2_000)))
        assert document.text.count("\n") == 1_999

    def test_reads_a_table_in_a_table_once(self):
        inner = "<table><tr><td>in</td></tr></table>"
        document = read(f"<html><table><tr><td>{inner}</td><td>out</td></tr></table>")
        assert document.text == "in | out"


class TestDocx:
    def test_keeps_headings_lists_and_tables(self):
        made = docx.Document()
        made.core_properties.title = "Tea"
        made.add_heading("Making", level=1)
        made.add_paragraph("Boil water.")
        made.add_heading("Steps", level=2)
        made.add_paragraph("Pour", style="List Number")
        made.add_paragraph("Wait", style="List Bullet")
        table = made.add_table(rows=2, cols=2)
        for cell, text in zip(table._cells, ("Kind", "Minutes", "Green", "3"), strict=True):
            cell.text = text
        document = read(saved(made))
        assert document.title == "Tea"
        assert document.text == (
            "Making\n\nBoil water.\n\nSteps\n\n- Pour\n- Wait\n\nKind | Minutes\nGreen | 3"
        )
        assert document.blocks[-1].heading_path == ("Making", "Steps")

    def test_says_when_it_is_damaged(self):
        content = saved(docx.Document())
        for broken in (content[: len(content) // 2], content.replace(b"PK\x01\x02", b"PK\x01\x09")):
            assert refused(broken).reason == "BROKEN_DOCX"

    def test_does_not_unpack_a_bomb(self):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("word/document.xml", bytes(210_000_000))
        assert refused(packed.getvalue()).reason == "PARSE_OUT_OF_MEMORY"


class TestQuestionsAndAnswers:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_make_a_section_of_each_row(self, delimiter):
        rows = [
            ["Id", "Question", "Answer"],
            ["1", "When is tea?", "At four,\nwith cake."],
            ["2", "No answer?", ""],
            ["3", "Where?", "In the garden."],
        ]
        written = io.StringIO(newline="")
        csv.writer(written, delimiter=delimiter).writerows(rows)
        document = read("\ufeff" + written.getvalue())
        assert document.media_type == "text/csv"
        assert document.text == (
            "When is tea?\n\nAt four,\nwith cake.\n\n- Id: 1\n\nWhere?\n\nIn the garden.\n\n- Id: 3"
        ).replace("- Id", "Id")
        assert document.blocks[1].heading_path == ("When is tea?",)

    def test_other_tables_stay_texts(self):
        assert read("name,price\nTea,4\n").media_type == "text/plain"


class TestText:
    def test_separates_paragraphs_by_blank_lines(self):
        document = read("One\nline.\n\n\nTwo.")
        assert document.media_type == "text/plain"
        assert [document.text[b.start : b.end] for b in document.blocks] == ["One\nline.", "Two."]

    def test_normalises_what_it_reads(self):
        tail = "and so it goes on for a while, as texts do"
        document = read(f"\ufeffCafe\u0301\r\nnext\x07 line {tail}\r")
        assert document.text == f"Café\nnext line {tail}"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252", "shift_jis"])
    def test_recognises_other_encodings(self, encoding):
        japanese = "これは日本語の説明書です。電源を入れてください。ボタンを長押しします。"
        german = "Das Gerät läuft für längere Zeit, während die Größe geändert wird. Überprüfe es. "
        text = japanese if encoding == "shift_jis" else german * 3
        assert read(text.encode(encoding)).text == text.strip()

    def test_bears_a_few_damaged_bytes(self):
        whole = ("Größe und Gerät. " * 200).encode()
        assert "\ufffd" in read(whole[:1_000] + b"\xff" + whole[1_000:]).text


class TestPdf:
    def test_reads_paragraphs_and_numbered_headings(self):
        document = read(
            pdf(
                "1 Setting up\nConnect the lamp to the mains and wait until the light is green.\n"
                "Then pair it with the app.\n2 Cleaning the lamp\nUse a soft cloth.",
                title="Lamp manual",
            )
        )
        assert document.media_type == "application/pdf"
        assert document.title == "Lamp manual"
        headings = {b.heading_path for b in document.blocks if b.kind is BlockKind.HEADING}
        assert headings == {("1 Setting up",), ("2 Cleaning the lamp",)}
        assert "soft cloth" in document.text

    def test_drops_running_headers_and_page_numbers(self):
        pages = [
            f"Lamp manual\nThe text of this page says {word}.\nPage {number}"
            for number, word in enumerate(["one", "two", "three", "four", "five"])
        ]
        text = read(pdf(*pages)).text
        assert "Lamp manual" not in text
        assert "Page 3" not in text
        assert "says four" in text

    def test_says_when_a_password_is_needed(self):
        error = refused(pdf("secret", password="p"))
        assert error.reason == "ENCRYPTED_PDF"
        assert "password" in error.message

    def test_says_when_there_are_only_pictures(self):
        error = refused(pdf(""))
        assert error.reason == "NO_TEXT"
        assert "scan" in error.message

    def test_says_when_it_is_damaged(self):
        assert refused(b"%PDF-1.7\nnothing of use").reason == "BROKEN_PDF"

    def test_says_when_it_has_too_many_pages(self):
        error = refused(pdf("a", "b", "c"), max_pages=2)
        assert error.reason == "TOO_MANY_PAGES"
        assert "3 pages" in error.message


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "EMPTY_FILE"),
            (b"\x00" * 100, "EMPTY_FILE"),
            (b" \n\t", "EMPTY_FILE"),
            (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "UNSUPPORTED_TYPE"),
            (b"PK\x03\x04" + b"\x00" * 40, "UNSUPPORTED_TYPE"),
            (b"{\\rtf1 hello}", "UNSUPPORTED_TYPE"),
            (b"<?xml version='1.0'?><a>b</a>", "UNSUPPORTED_TYPE"),
            (bytes(range(256)) * 8, "UNSUPPORTED_TYPE"),
            (b"... !!! ???", "NO_TEXT"),
        ],
    )
    def test_name_their_reason(self, content, reason):
        error = refused(content)
        assert error.reason == reason
        assert error.message.endswith(".")

    def test_name_the_limit_of_the_text(self):
        error = refused("word " * 1_000, max_chars=100)
        assert error.reason == "TOO_MUCH_TEXT"
        assert "100" in error.message


class TestSniffing:
    def test_sees_markdown_behind_many_comments(self):
        document = read("<!-- lint off -->\n" * 40 + "# Title\n\nText.")
        assert document.media_type == "text/markdown"
        assert document.title == "Title"

    def test_sees_html_behind_comments(self):
        document = read("<!-- a --> <!-- b -->\n<html><body><p>Text.</p></body></html>")
        assert document.media_type == "text/html"

    def test_looks_at_the_targets_of_links_only_so_far(self):
        assert sniff(b"[a](" + b"x" * 300 + b")").media_type == "text/markdown"
        # Looking through all that follows each of them would take minutes.
        assert sniff(b"](" * 32_000).media_type == "text/plain"


class TestAnyBytes:
    @settings(max_examples=150, deadline=None)
    @given(
        st.one_of(
            st.binary(max_size=400),
            st.text(max_size=400).map(str.encode),
            st.text(max_size=200).map(lambda text: f"<html><body><p>{text}".encode()),
            st.text(max_size=200).map(lambda text: f"# {text}\n\n- {text}".encode()),
            st.binary(max_size=300).map(lambda tail: b"%PDF-1.5\n" + tail),
        )
    )
    def test_give_a_clean_document_or_a_sentence(self, content):
        try:
            document = parse(content, ParseLimits())
        except DocumentError:
            return
        assert "\x00" not in document.text
        assert document.text.encode()
        for block in document.blocks:
            assert document.text[block.start : block.end].strip()
