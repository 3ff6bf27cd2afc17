"""uvicorn's HTTP/1.1 protocol, with bounds on a request's head.

The parser itself takes a head of any size and waits for it for any time.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.problems import MEDIA_TYPE, Problem

_MAX_HEAD_BYTES = 32 * 1024
_HEAD_S = 10.0


class GuardedProtocol(HttpToolsProtocol):
    """Refuses heads that are too large, too slow or malformed with a problem document."""

    def connection_made(self, transport: Any) -> None:
        """A client connects; its first head is awaited for a while only."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._late: asyncio.TimerHandle | None = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._late is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_came()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes of the client. Where the head has not ended in them, all of them are head."""
        super().data_received(data)
        if self._late is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
                detail = f"the request's head is larger than {_MAX_HEAD_BYTES} bytes"
                self._refuse(Problem(431, "HEADERS_TOO_LARGE", detail))

    def send_400_response(self, msg: str) -> None:
        """Answers a head that is not HTTP."""
        self._refuse(Problem(400, "MALFORMED_REQUEST", f"this is not HTTP/1.1: {msg}"))

    def _await_head(self) -> None:
        self._late = self.loop.call_later(_HEAD_S, self._too_late)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            detail = f"the request's head did not come within {_HEAD_S:.0f} s"
            self._refuse(Problem(408, "REQUEST_TIMEOUT", detail))

    def _refuse(self, problem: Problem) -> None:
        self._head_came()
        body = msgspec.json.encode(problem.document())
        head = (
            f"HTTP/1.1 {problem.status} {problem.document().title}\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
