"""Mail to people: through the SMTP server of the settings, or, locally, to the console."""

import asyncio
import sys
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from email_validator import validate_email
from fleetkit.logging import get_logger

from gateway.config import GatewaySettings

_TIMEOUT_S = 8.0


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one person."""

    to: str
    subject: str
    text: str = field(repr=False)


class Mailer:
    """Sends mail while its sender waits: what it says, links with tokens, is kept nowhere."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> bool:
        """Whether a mail server took the mail; without one it is False, and nothing is raised."""
        message = EmailMessage()
        message["From"] = self._settings.sender
        # Names of domains in other scripts as every mail server takes them.
        mailbox = validate_email(mail.to, check_deliverability=False)
        message["To"] = mailbox.ascii_email or mailbox.normalized
        message["Subject"] = mail.subject
        message.set_content(mail.text)
        if self._settings.smtp_url is not None:
            return await self._hand_over(message, self._settings.smtp_url.get_secret_value())
        if self._settings.environment == "local":
            sys.stdout.write(f"{mail.to}: {mail.subject}\n\n{mail.text}\n")
            sys.stdout.flush()
        return False

    async def _hand_over(self, message: EmailMessage, smtp_url: str) -> bool:
        import aiosmtplib

        server = urlsplit(smtp_url)
        # Upgrading to TLS is up to the server on a laptop only.
        start_tls = None if self._settings.environment == "local" else True
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await aiosmtplib.send(
                    message,
                    hostname=server.hostname,
                    port=server.port,
                    username=unquote(server.username) if server.username else None,
                    password=unquote(server.password) if server.password else None,
                    use_tls=server.scheme == "smtps",
                    start_tls=False if server.scheme == "smtps" else start_tls,
                )
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # The error's own words may hold the address.
            get_logger().warning("mail_not_sent", error=type(error).__name__)
            return False
        return True
