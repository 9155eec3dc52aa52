"""The progress endpoint's certificate: made once where nobody else makes one; read again whenever its files change."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS = 10
"""How long both are valid. Whoever wants shorter and renewed ones takes cert-manager."""

CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class Made:
    """A CA's certificate, and a certificate with its key, all PEM. The CA's own key is thrown away: nobody can sign more."""

    ca: bytes
    cert: bytes
    key: bytes

    def secret(self, name: str, namespace: str, owners: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """Returns it as a Secret of type kubernetes.io/tls that belongs to these owners."""
        data = {"ca.crt": self.ca, "tls.crt": self.cert, "tls.key": self.key}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {"app.kubernetes.io/name": "millwright"},
                "ownerReferences": list(owners),
            },
            "type": "kubernetes.io/tls",
            "data": {key: b64encode(value).decode() for key, value in data.items()},
        }


def make(dns: Sequence[str], now: datetime | None = None) -> Made:
    """Makes a CA and a server certificate.

    Args:
        dns: names that it is good for, at least one.
        now: when it begins; default: the present.
    """
    start = (now or datetime.now(UTC)) - CLOCK_SKEW
    end = start + timedelta(days=365 * YEARS)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "millwright progress CA")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        """Begins a certificate that both keys share but for subject and purpose."""
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(_usage(ca=ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )

    authority = builder(issuer, ca_key.public_key(), ca=True).sign(ca_key, hashes.SHA256())
    # A common name holds 64 characters at most, so the names are where clients look for them anyway
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "millwright progress")])
    server = (
        builder(subject, key.public_key(), ca=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in dns]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Made(authority.public_bytes(pem), server.public_bytes(pem), private)


class Files:
    """A certificate in files that somebody renews: the kubelet, from a Secret.

    Args:
        cert: PEM, with intermediate certificates.
        key: PEM.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._loaded: tuple[bytes, bytes] | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For a server. New connections see a renewed certificate; open ones keep theirs."""
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    def refresh(self) -> bool:
        """Reads the files again when they have changed. Returns whether they had.

        Raises:
            OSError: they cannot be read, or do not fit together (ssl.SSLError); the former certificate stays in use.
        """
        found = self._cert.read_bytes(), self._key.read_bytes()
        if found == self._loaded:
            return False
        # Tried on another context first: half of a renewal must not spoil the one that is in use
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert, self._key)
        self.context.load_cert_chain(self._cert, self._key)
        self._loaded = found
        return True


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
