"""Reading a form piece by piece, wherever the pieces are cut."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fleetkit.errors import FleetError, InvalidArgument, ResourceExhausted
from gateway import uploads
from gateway.uploads import read_upload
from hypothesis import given
from hypothesis import strategies as st


def form(*parts: tuple[str, str | None, bytes]) -> tuple[str, bytes]:
    """Content type and body of a form of (name, file name, content)."""
    body = b""
    for name, file_name, content in parts:
        named = f'; filename="{file_name}"' if file_name is not None else ""
        body += f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return "multipart/form-data; boundary=b", body + b"--b--\r\n"


async def cut(body: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    """The body in pieces of these sizes, then the rest."""
    start = 0
    for size in sizes:
        yield body[start : start + size]
        start += size
    yield body[start:]


async def read(content_type: str, body: bytes, *sizes: int, **options: Any) -> tuple[Any, bytes]:
    """The upload and its whole content."""
    upload = await read_upload(content_type, cut(body, list(sizes)), **options)
    content = b"".join([piece async for piece in upload.content])
    return upload, content


class TestReadUpload:
    async def test_fields_file_name_and_content_are_read(self):
        upload, content = await read(
            *form(("title", None, "Grüße".encode()), ("file", "a.md", b"# Hi"))
        )
        assert upload.fields == {"title": "Grüße"}
        assert upload.file_name == "a.md"
        assert content == b"# Hi"

    @given(
        content=st.binary(min_size=1, max_size=2_000),
        sizes=st.lists(st.integers(0, 300), max_size=20),
    )
    async def test_it_does_not_matter_where_the_body_is_cut(self, content, sizes):
        # What looks like the boundary would end the file: that is the sender's to avoid.
        content = content.replace(b"\r\n--b", b"")
        if not content:
            return
        upload, found = await read(*form(("title", None, b"T"), ("file", "a", content)), *sizes)
        assert upload.fields == {"title": "T"}
        assert found == content

    async def test_an_ordinary_clients_form_is_read(self):
        request = httpx.Request(
            "POST", "http://x", data={"title": "T"}, files={"file": ("ü.txt", b"x" * 100_000)}
        )
        upload, content = await read(request.headers["content-type"], request.read(), 10, 5_000)
        assert upload.file_name == "ü.txt"
        assert content == b"x" * 100_000

    async def test_a_large_file_comes_in_pieces(self):
        body = form(("file", "a", b"x" * 3_000_000))
        upload = await read_upload(body[0], cut(body[1], [65_536] * 40))
        sizes = [len(piece) async for piece in upload.content]
        assert sum(sizes) == 3_000_000
        assert max(sizes) <= 256 * 1024

    async def test_the_check_sees_the_fields_before_the_file_is_read(self):
        def check(fields: dict[str, str]) -> None:
            raise InvalidArgument(fields["csrf_token"])

        body = form(("csrf_token", None, b"wrong"), ("file", "a", b"content"))
        with pytest.raises(InvalidArgument, match="wrong"):
            await read(*body, check=check)

    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            ((), "no file"),
            ((("title", None, b"T"),), "no file"),
            ((("file", "a", b""),), "empty"),
            ((("photo", "a", b"x"),), "name it file"),
            ((("file", "a", b"x"), ("file", "b", b"y")), "more than one file"),
            ((("file", "a", b"x"), ("title", None, b"T")), "behind the file"),
            ((("title", None, b"\xff"), ("file", "a", b"x")), "UTF-8"),
            ((("title", None, b"x" * 9_000), ("file", "a", b"x")), "shorten"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_what_is_wrong_with_a_form_is_said(self, parts, said):
        with pytest.raises(InvalidArgument, match=said) as refused:
            await read(*form(*parts))
        assert refused.value.field

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"--b--"),
            ("multipart/form-data; boundary=b", b""),
            ("multipart/form-data; boundary=b", b"nonsense"),
            ("multipart/form-data; boundary=b", form(("file", "a", b"x"))[1][:-10]),
            ("multipart/form-data; boundary=other", form(("file", "a", b"x"))[1]),
            ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: x\r\n\r\nx\r\n--b--"),
            ("multipart/form-data; boundary=b", b"--b\r\n" + b"x" * 9_000),
        ],
        ids=["no boundary", "empty", "nonsense", "cut", "other boundary", "no name", "long head"],
    )
    async def test_a_malformed_form_is_refused(self, content_type, body):
        with pytest.raises(FleetError):
            await read(content_type, body)

    async def test_a_file_that_is_too_large_is_refused_on_the_way(self, monkeypatch):
        monkeypatch.setattr(uploads, "MAX_FILE_BYTES", 1_000)
        with pytest.raises(ResourceExhausted) as refused:
            await read(*form(("file", "a", b"x" * 2_000)), 500, 500)
        assert refused.value.reason == "BODY_TOO_LARGE"

    async def test_too_many_fields_are_refused(self):
        parts = [(f"f{number}", None, b"x") for number in range(30)]
        with pytest.raises(FleetError):
            await read(*form(*parts, ("file", "a", b"x")))
