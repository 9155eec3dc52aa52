"""Signatures over an output's manifest, by a key in a PEM file and without any service.

A signature is a DSSE envelope (github.com/secure-systems-lab/dsse) around an in-toto Statement v1 whose one subject is
manifest.json with its sha256; the manifest in turn names every file's. Keys: Ed25519, or ECDSA on P-256 with SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millwright_api.errors import InvalidKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://millwright.dev/published-model/v1"

MANIFEST_NAME = "manifest.json"
"""What the statement calls what it is about."""

POSSIBLE = "possible: Ed25519, or ECDSA on the curve P-256"
MAKE = "make one: openssl genpkey -algorithm ed25519 -out key.pem"
PUBLISH = "its public half: openssl pkey -in KEY.pem -pubout"


@dataclass(frozen=True)
class PublicKey:
    """What a signature is checked by."""

    _key: Ed25519PublicKey | EllipticCurvePublicKey

    @classmethod
    def load(cls, pem: bytes, where: str) -> PublicKey:
        """Reads a public key.

        Args:
            pem: the file's content.
            where: what messages call it.

        Raises:
            InvalidKey: it is none, a private one, or of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        if b"PRIVATE KEY-----" in pem:
            raise InvalidKey("this is a private key, and the public one is expected", where=where, hint=PUBLISH)
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKey("this is no public key in PEM form", where=where, hint=PUBLISH) from error
        return cls(_usable(key, where))

    @property
    def id(self) -> str:
        """Names the key: sha256 of its SubjectPublicKeyInfo in DER form, 64 hex digits."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return hashlib.sha256(self._key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the key's private half has signed these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            if isinstance(self._key, ec.EllipticCurvePublicKey):
                self._key.verify(signature, message, ec.ECDSA(SHA256()))
            else:
                self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def objection(self, envelope: bytes | None, manifest: bytes) -> str | None:
        """Returns what speaks against a signature over a manifest; None when it is right.

        Args:
            envelope: the signature's file; None when there is none.
            manifest: the manifest's bytes.
        """
        if envelope is None:
            return "not signed"
        opened = _opened(envelope)
        if opened is None:
            return "the signature is no DSSE envelope"
        payload_type, payload, signatures = opened
        message = pre_authentication(payload_type, payload)
        if not any(self.verifies(signature, message) for signature in signatures):
            return "signed by another key, or the signature was changed"
        if not is_about(envelope, manifest):
            return "the signature does not fit the manifest: it was made for another one"
        return None


@dataclass(frozen=True, repr=False)
class SigningKey:
    """What manifests are signed by. Never shown: it has no readable form."""

    _key: Ed25519PrivateKey | EllipticCurvePrivateKey

    @classmethod
    def load(cls, pem: bytes, where: str) -> SigningKey:
        """Reads a private key.

        Args:
            pem: the file's content.
            where: what messages call it.

        Raises:
            InvalidKey: it is none, a public one, encrypted, or of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        if b"PUBLIC KEY-----" in pem:
            raise InvalidKey("this is a public key, and signing takes the private one", where=where, hint=MAKE)
        try:
            key = load_pem_private_key(pem, password=None)
        except TypeError as error:
            raise InvalidKey(
                "the key is encrypted, and nobody is there to ask for its password",
                where=where,
                hint="openssl pkey -in KEY.pem -out PLAIN.pem takes the password off; keep that file in a Secret",
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKey("this is no private key in PEM form", where=where, hint=MAKE) from error
        _usable(key, where)
        return cls(key)  # type: ignore[arg-type]

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self._key.public_key())

    def sign(self, manifest: bytes) -> bytes:
        """Returns the signature's file over a manifest."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA256

        payload = json.dumps(_statement(manifest), separators=(",", ":")).encode()
        message = pre_authentication(PAYLOAD_TYPE, payload)
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            signature = self._key.sign(message, ec.ECDSA(SHA256()))
        else:
            signature = self._key.sign(message)
        envelope = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": self.public.id, "sig": base64.b64encode(signature).decode()}],
        }
        return json.dumps(envelope, indent=1).encode() + b"\n"

    def fits(self, envelope: bytes | None, manifest: bytes) -> bool:
        """Whether a signature by this very key over this manifest is there already."""
        return self.public.objection(envelope, manifest) is None


def is_about(envelope: bytes, manifest: bytes) -> bool:
    """Whether an envelope's statement is about this manifest; the signature is not looked at."""
    opened = _opened(envelope)
    try:
        said = json.loads(opened[1]) if opened and opened[0] == PAYLOAD_TYPE else None
    except ValueError:
        return False
    return bool(said == _statement(manifest))


def key_ids(envelope: bytes) -> list[str]:
    """Returns what an envelope says that it was signed by; ids of another form than ours are left out."""
    try:
        said = [str(entry["keyid"]) for entry in json.loads(envelope)["signatures"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [id_ for id_ in said if re.fullmatch("[0-9a-f]{64}", id_)]


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """Returns the bytes that are signed: DSSE's pre-authentication encoding, PAE."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def _statement(manifest: bytes) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": MANIFEST_NAME, "digest": {"sha256": hashlib.sha256(manifest).hexdigest()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }


def _opened(envelope: bytes) -> tuple[str, bytes, list[bytes]] | None:
    """Returns type, payload and signatures; None when it is no envelope."""
    try:
        body = json.loads(envelope)
        payload_type = body["payloadType"].encode("ascii").decode()
        payload = base64.b64decode(body["payload"], validate=True)
        signatures = [base64.b64decode(entry["sig"], validate=True) for entry in body["signatures"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return payload_type, payload, signatures


def _usable(key: Any, where: str) -> Any:
    """Returns a key, public or private; raises InvalidKey where it is of a kind that is not used."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1):
            return key
        found = f"an ECDSA key on the curve {key.curve.name}"
    else:
        rsa_key = isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey)
        found = "an RSA key" if rsa_key else f"a key of another kind ({type(key).__name__.strip('_')})"
    raise InvalidKey(f"this is {found}, which is not used here", where=where, hint=POSSIBLE)
