"""Certificates of emulators, signed by an authority that is made for one run and thrown away with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly_infra.sandbox import missing_extra

try:
    import trustme
except ImportError as missing:
    raise missing_extra(missing) from missing

if TYPE_CHECKING:
    from pathlib import Path


def make_certificates(directory: Path) -> None:
    """Writes `ca.pem`, and `server.pem` and `server.key` for this machine, into the directory."""
    authority = trustme.CA(organization_name="lightly-infra sandbox")
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    certificate.private_key_pem.write_to_path(directory / "server.key")
    for part in certificate.cert_chain_pems:
        part.write_to_path(directory / "server.pem", append=True)
