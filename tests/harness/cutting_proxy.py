"""A TCP proxy that breaks a connection in the middle of a streamed answer."""

import socket
import threading
from collections.abc import Callable

_CHUNK_BYTES = 65_536


class CuttingProxy:
    """Passes bytes on to `target`, and cuts the first response that `cut_after` says to cut.

    `cut_after` is given all bytes of a response so far and returns how many of them may pass
    before the connection is cut, or None to let it go on. Runs in threads, until `close`.
    """

    def __init__(self, target: tuple[str, int], cut_after: Callable[[bytes], int | None]) -> None:
        self._target = target
        self._cut_after = cut_after
        self._lock = threading.Lock()
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._accepting = self._start(self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.getsockname()[1]

    def close(self) -> None:
        """Close the listener and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        # Only then is it known who was accepted last.
        self._accepting.join(5)
        with self._lock:
            for connection in self._open:
                _shut(connection)
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            self._start(self._pass_requests, client, server)
            self._start(self._pass_responses, server, client)

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(_CHUNK_BYTES):
                server.sendall(data)
        except OSError:
            pass
        _shut(server)

    def _pass_responses(self, server: socket.socket, client: socket.socket) -> None:
        seen = b""
        try:
            while data := server.recv(_CHUNK_BYTES):
                seen += data
                allowed = self._allowed(seen)
                if allowed is None:
                    client.sendall(data)
                    continue
                client.sendall(data[: max(0, allowed - (len(seen) - len(data)))])
                break
        except OSError:
            pass
        _shut(client)
        _shut(server)
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _allowed(self, seen: bytes) -> int | None:
        with self._lock:
            allowed = None if self.cuts else self._cut_after(seen)
            self.cuts += allowed is not None
        return allowed


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
