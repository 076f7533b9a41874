"""`courtyard sbom`: what this installation consists of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from services.cli import app
from services.cli.shared import explained
from services.clock import SystemClock


@app.command()
@explained
def sbom(
    lock: Annotated[
        Path | None, typer.Option("--lock", help="The lock it was installed from (requirements.lock), for the hashes.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Write it there instead of printing it.")] = None,
) -> None:
    """Print the bill of materials (CycloneDX 1.6, JSON): every Python package installed, with its licence.

    The image carries its own as /opt/courtyard/sbom.json. Packages of the operating system are not in it.
    """
    from services.sbom import document, installed, locked_hashes

    hashes = locked_hashes(lock.read_text(encoding="utf-8")) if lock else {}
    text = json.dumps(document(installed(), hashes, SystemClock().now()), ensure_ascii=False, indent=1)
    if to is None:
        typer.echo(text)
    else:
        to.write_text(text + "\n", encoding="utf-8")
