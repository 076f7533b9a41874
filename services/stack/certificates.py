"""A certificate authority of one's own, by OpenSSL's program: for trying TLS, and for sites without a public name."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from services.stack.catalogue import CA, CA_KEY, CERTIFICATE, KEY, PROXY
from services.stack.keys import held

_CA_DAYS = 3650


def make(folder: Path, hosts: Sequence[str], days: int) -> list[Path]:
    """The files that were made; none where certificate and key are there. Raises ValueError, OSError."""
    if not hosts:
        raise ValueError("name at least one host: --host courtyard.example --host 192.0.2.7")
    there = [name for name in (CERTIFICATE, KEY) if (folder / name).exists()]
    if len(there) == 2:
        return []
    if there:
        raise ValueError(
            f"{folder} holds {there[0]} alone, which is not overwritten: bring the other one back, or remove it"
        )
    if shutil.which("openssl") is None:
        raise OSError("openssl is not installed; on Debian: apt-get install openssl")
    with held(folder):
        made = [] if (folder / CA).exists() else _authority(folder)
        return made + _certificate(folder, hosts, days)


def alternative_names(hosts: Sequence[str]) -> str:
    """`DNS:a.example,IP:192.0.2.7`. Raises ValueError for what is neither."""
    return ",".join(_alternative(host) for host in hosts)


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        if not host or any(not (letter.isalnum() or letter in "-.*") for letter in host):
            raise ValueError(f"expected a host name or an address, found {host!r}") from None
        return f"DNS:{host}"


def _authority(folder: Path) -> list[Path]:
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(_CA_DAYS)),
        *("-subj", "/CN=Courtyard CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(folder / CA_KEY), "-out", str(folder / CA)),
    )
    (folder / CA_KEY).chmod(0o600)
    (folder / CA).chmod(0o644)
    return [folder / CA, folder / CA_KEY]


def _certificate(folder: Path, hosts: Sequence[str], days: int) -> list[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        request, extensions = Path(scratch) / "request", Path(scratch) / "extensions"
        extensions.write_text(
            f"subjectAltName={alternative_names(hosts)}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        )
        _openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={hosts[0][:60]}", "-keyout", str(folder / KEY), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(folder / CA), "-CAkey", str(folder / CA_KEY)),
            *("-days", str(days), "-extfile", str(extensions), "-out", str(folder / CERTIFICATE)),
        )
    for name in (CERTIFICATE, KEY):
        if os.geteuid() == 0:
            os.chown(folder / name, PROXY, PROXY)
        (folder / name).chmod(0o600 if os.geteuid() == 0 else 0o644)
    return [folder / CERTIFICATE, folder / KEY]


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-500:]}")
