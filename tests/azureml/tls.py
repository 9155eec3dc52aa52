"""A certificate for the stub, made once a process: for loopback, what it is advertised as, and Azure's own names."""

from __future__ import annotations

import datetime
import functools
import ipaddress
import os
import ssl
from pathlib import Path

AZURE_NAMES = ("*.blob.core.windows.net", "*.dfs.core.windows.net", "*.vault.azure.net", "login.microsoftonline.com")
"""Names that only the stub's proxy leads to."""


def server_context(folder: Path, hosts: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Returns the server's side; writes `ca.pem`, which clients trust, into the folder."""
    key, certificate = _made(tuple(sorted({"127.0.0.1", "localhost", *hosts})))
    (folder / "ca.pem").write_bytes(certificate)
    secret = folder / "key.pem"
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", secret)
    return context


@functools.cache
def _made(hosts: tuple[str, ...]) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Azure ML stub")])
    now = datetime.datetime.now(datetime.UTC)
    names = [_name(host) for host in (*hosts, *AZURE_NAMES)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret, certificate.public_bytes(serialization.Encoding.PEM)


def _name(host: str):  # type: ignore[no-untyped-def]  # cryptography is imported where it is used
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
