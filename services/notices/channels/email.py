"""E-mail over SMTP. One message per recipient: nobody sees who else is told."""

from __future__ import annotations

import hashlib
import ipaddress
import smtplib
import ssl
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from html import escape
from urllib.parse import unquote, urlsplit

from services.notices.channels import Delivered, Message, Outcome, Rejected, RetryLater

_TIMEOUT = 10.0


class SmtpUrlMistake(ValueError):
    """COURTYARD_SMTP_URL is not smtp://[user:password@]host[:port] or smtps://…"""


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    tls_first: bool
    user: str
    password: str

    @classmethod
    def parse(cls, url: str) -> Server:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise SmtpUrlMistake("an SMTP URL is smtp://[user:password@]host[:port] or smtps://…")
        tls_first = parts.scheme == "smtps"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, parts.port or (465 if tls_first else 587 if user else 25), tls_first, user, password)


class Email:
    """4xx and no connection: later. 5xx: rejected. Without a server: rejected, and says which setting is missing."""

    def __init__(self, *, smtp_url: str, sender: str) -> None:
        self._server = Server.parse(smtp_url) if smtp_url else None
        self._sender = sender

    def send(self, message: Message) -> Outcome:
        if self._server is None:
            return Rejected("no mail server is set: COURTYARD_SMTP_URL=smtp://host")
        if (address := mailbox(message.target)) is None:
            return Rejected("this is not one e-mail address")
        try:
            return self._deliver(self._server, compose(message, sender=self._sender, to=address), address)
        except smtplib.SMTPRecipientsRefused as error:
            return _by_code(*next(iter(error.recipients.values())))
        except smtplib.SMTPResponseException as error:
            return _by_code(error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            return RetryLater(f"the mail server cannot be reached: {error}")

    def close(self) -> None:
        """Nothing is kept open between messages."""

    def _deliver(self, server: Server, mail: EmailMessage, to: str) -> Outcome:
        context = ssl.create_default_context()
        with self._connected(server, context) as smtp:
            smtp.ehlo_or_helo_if_needed()
            if not server.tls_first and smtp.has_extn("starttls"):
                smtp.starttls(context=context)
            elif server.user and not server.tls_first and not _is_loopback(server.host):
                return Rejected("the mail server offers no TLS, and a password is not sent in clear: use smtps://")
            if server.user:
                smtp.login(server.user, server.password)
            smtp.send_message(mail, from_addr=parseaddr(self._sender)[1], to_addrs=[to])
        return Delivered()

    @staticmethod
    def _connected(server: Server, context: ssl.SSLContext) -> smtplib.SMTP:
        if server.tls_first:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT, context=context)
        return smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT)


def mailbox(target: str) -> str | None:
    """The one address in a target, or None: no lists, no line breaks, no comments."""
    if not target.isprintable() or any(c in target for c in ',;<>()"\\ '):
        return None
    try:
        address = Address(addr_spec=target)
    except (HeaderParseError, ValueError, IndexError):
        return None
    return address.addr_spec if address.username and address.domain else None


def compose(message: Message, *, sender: str, to: str) -> EmailMessage:
    """Plain text with an HTML twin. The Message-ID comes from the key: mail systems drop what they already have."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = " ".join("".join(c if c.isprintable() else " " for c in message.title).split())
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    mail["Message-ID"] = f"<{hashlib.sha256(message.key.encode()).hexdigest()[:40]}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # no out-of-office answers, please
    mail.set_content(message.body + "\n")
    lines = "<br>\n".join(escape(line) for line in message.body.splitlines())
    mail.add_alternative(f"<!doctype html><html><body><p>{lines}</p></body></html>", subtype="html")
    return mail


def _by_code(code: int, said: bytes | str) -> Outcome:
    words = said.decode(errors="replace") if isinstance(said, bytes) else said
    reason = f"the mail server said {code} {words[:200]}"
    return Rejected(reason) if 500 <= code < 600 else RetryLater(reason)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
