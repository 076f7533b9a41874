"""Where a webhook may go. Pure but for the one look at the resolver."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Destination:
    """A host resolved once: what is connected to is what was checked."""

    scheme: str
    host: str
    port: int
    address: Address


class Forbidden(Exception):
    """This URL is not one a webhook may go to; the text says why."""


class Unresolved(Exception):
    """The name has no address now."""


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, seen through the ways to write an IPv4 address as IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        if (inner := address.ipv4_mapped or address.sixtofour) is not None:
            return is_public(inner)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def destination(url: str) -> Destination:
    """Resolve the host of a URL. Raises Forbidden for what is no web address, Unresolved for an unknown name."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Forbidden(f"the URL is not valid: {error}") from None
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise Forbidden("the URL's port is no number") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Forbidden("a webhook is an http:// or https:// URL")
    return Destination(parts.scheme, parts.hostname, port, _resolve(parts.hostname, port))


def _resolve(host: str, port: int) -> Address:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unresolved(f"the host name has no address: {error}") from error
    return ipaddress.ip_address(str(found[0][4][0]).partition("%")[0])
