"""A mail server that keeps what it is given (RFC 5321, as far as one client needs it)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class SmtpServer:
    """`url` is where it listens, `received` what it took; `refused` are addresses unknown to it."""

    url: str = ""
    received: list[EmailMessage] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    talking: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begins to talk with a client."""
        self.talking.add(asyncio.create_task(self.talk(reader, writer)))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        writer.write(b"220 fake.example\r\n")
        while line := (await reader.readline()).decode():
            verb = line[:4].upper()
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                self.received.append(message_from_bytes(content[:-3], policy=policy.default))
            known = not any(address in line for address in self.refused)
            writer.write(b"250 fine\r\n" if known else b"550 nobody here\r\n")
            if verb == "QUIT":
                break
        writer.close()


@asynccontextmanager
async def smtp_server() -> AsyncIterator[SmtpServer]:
    """One that runs."""
    fake = SmtpServer()
    server = await asyncio.start_server(fake.accept, "127.0.0.1", 0)
    async with server:
        fake.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield fake
        await asyncio.wait_for(asyncio.gather(*fake.talking), 5)
