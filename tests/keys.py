"""Keys for tests, as a person would have them: PEM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

KINDS: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


@dataclass(frozen=True)
class Pair:
    """A private key and its public half, and the private one under a password."""

    private: bytes
    public: bytes
    encrypted: bytes

    @classmethod
    def make(cls, kind: str = "ed25519") -> Pair:
        key = KINDS[kind]()

        def private(how: Any) -> bytes:
            made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
            return made

        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return cls(private(NoEncryption()), public, private(BestAvailableEncryption(b"a password")))
