"""Signatures over a manifest: what they hold, what they are refused for, which keys are taken."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.keys import Pair

from millwright_api.errors import InvalidKey
from millwright_runner.cli.keys import read_key, signing_key
from millwright_runner.signing import PublicKey, SigningKey, is_about, key_ids, pre_authentication

MANIFEST = b'{"kind": "PublishedModel"}\n'


@pytest.fixture(scope="module", params=["ed25519", "p256"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair.make(request.param)


@pytest.fixture(scope="module")
def other() -> Pair:
    return Pair.make()


def sign(pair: Pair, manifest: bytes = MANIFEST) -> bytes:
    return SigningKey.load(pair.private, "key.pem").sign(manifest)


def public(pair: Pair) -> PublicKey:
    return PublicKey.load(pair.public, "pub.pem")


def changed(envelope: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(envelope) | fields).encode()


class TestASignature:
    def test_it_is_an_in_toto_statement_about_the_manifest(self, pair: Pair) -> None:
        envelope = json.loads(sign(pair))

        statement = json.loads(base64.b64decode(envelope["payload"]))
        assert envelope["payloadType"] == "application/vnd.in-toto+json"
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        digest = hashlib.sha256(MANIFEST).hexdigest()
        assert statement["subject"] == [{"name": "manifest.json", "digest": {"sha256": digest}}]

    def test_what_is_signed_is_encoded_as_dsse_has_it(self) -> None:
        # The example of the specification, protocol.md.
        told = pre_authentication("http://example.com/HelloWorld", b"hello world")

        assert told == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"

    def test_openssl_finds_it_right(self, pair: Pair, tmp_path: Path) -> None:
        envelope = json.loads(sign(pair))
        payload = base64.b64decode(envelope["payload"])
        (tmp_path / "pub").write_bytes(pair.public)
        (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
        (tmp_path / "message").write_bytes(pre_authentication(envelope["payloadType"], payload))
        ed = b"MCowBQYDK2Vw" in pair.public
        how = ["-rawin"] if ed else ["-rawin", "-digest", "sha256"]

        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pub", "-sigfile", "sig", "-in", "message", *how],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert done.returncode == 0, done.stderr
        assert "Signature Verified Successfully" in done.stdout

    def test_it_says_by_which_key(self, pair: Pair) -> None:
        assert key_ids(sign(pair)) == [public(pair).id]

    def test_one_that_is_there_and_right_need_not_be_made_again(self, pair: Pair, other: Pair) -> None:
        key = SigningKey.load(pair.private, "key.pem")

        assert key.fits(key.sign(MANIFEST), MANIFEST)
        assert not key.fits(None, MANIFEST)
        assert not key.fits(sign(other), MANIFEST)
        assert not key.fits(key.sign(b"another"), MANIFEST)


class TestWhatSpeaksAgainstASignature:
    def test_nothing_when_it_is_right(self, pair: Pair) -> None:
        assert public(pair).objection(sign(pair), MANIFEST) is None

    def test_there_is_none(self, pair: Pair) -> None:
        assert public(pair).objection(None, MANIFEST) == "not signed"

    def test_another_key_made_it(self, pair: Pair, other: Pair) -> None:
        assert "signed by another key" in str(public(pair).objection(sign(other), MANIFEST))

    def test_the_name_of_the_key_proves_nothing(self, pair: Pair, other: Pair) -> None:
        forged = json.loads(sign(other))
        forged["signatures"][0]["keyid"] = public(pair).id

        assert "signed by another key" in str(public(pair).objection(json.dumps(forged).encode(), MANIFEST))

    def test_it_is_of_another_manifest(self, pair: Pair) -> None:
        assert "does not fit the manifest" in str(public(pair).objection(sign(pair), MANIFEST + b" "))

    def test_its_statement_was_exchanged(self, pair: Pair) -> None:
        envelope = changed(sign(pair, b"another"), payload=json.loads(sign(pair))["payload"])

        assert "the signature was changed" in str(public(pair).objection(envelope, MANIFEST))

    def test_a_statement_of_another_type_is_not_one_about_a_manifest(self, pair: Pair) -> None:
        assert not is_about(changed(sign(pair), payloadType="text/plain"), MANIFEST)

    @pytest.mark.parametrize(
        "envelope",
        [b"", b"no JSON", b"[]", b"{}", b'{"payloadType": 1, "payload": "", "signatures": []}',
         b'{"payloadType": "a", "payload": "***", "signatures": []}', b"[" * 100_000],
    )  # fmt: skip
    def test_it_is_none_at_all(self, envelope: bytes, pair: Pair) -> None:
        assert public(pair).objection(envelope, MANIFEST) == "the signature is no DSSE envelope"
        assert key_ids(envelope) == []
        assert not is_about(envelope, MANIFEST)

    def test_an_envelope_without_signatures_is_signed_by_nobody(self, pair: Pair) -> None:
        assert "signed by another key" in str(public(pair).objection(changed(sign(pair), signatures=[]), MANIFEST))

    def test_what_is_no_key_id_is_not_shown(self, pair: Pair) -> None:
        envelope = changed(sign(pair), signatures=[{"keyid": "\x1b[31mred", "sig": ""}])

        assert key_ids(envelope) == []


class TestKeysToSignBy:
    @pytest.mark.parametrize("kind", ["rsa", "p384"])
    def test_another_kind_is_refused_with_what_is_possible(self, kind: str) -> None:
        with pytest.raises(
            InvalidKey, match=r"key\.pem: .*(RSA|secp384r1).*possible: Ed25519, or ECDSA on the curve P-256"
        ):
            SigningKey.load(Pair.make(kind).private, "key.pem")

    def test_an_encrypted_one_is_refused_with_the_way_out(self, other: Pair) -> None:
        with pytest.raises(InvalidKey, match=r"the key is encrypted.*openssl pkey -in"):
            SigningKey.load(other.encrypted, "key.pem")

    def test_a_public_one_is_told_apart(self, other: Pair) -> None:
        with pytest.raises(InvalidKey, match="this is a public key, and signing takes the private one"):
            SigningKey.load(other.public, "key.pem")

    @pytest.mark.parametrize("pem", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
    def test_what_is_none_is_refused_with_how_to_make_one(self, pem: bytes) -> None:
        with pytest.raises(InvalidKey, match=r"no private key in PEM form.*openssl genpkey"):
            SigningKey.load(pem, "key.pem")

    def test_no_message_shows_a_part_of_it(self, other: Pair) -> None:
        with pytest.raises(InvalidKey) as caught:
            SigningKey.load(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "key.pem")

        assert "c2VjcmV0" not in str(caught.value)
        assert "_key" not in repr(SigningKey.load(other.private, "key.pem"))


class TestKeysToCheckBy:
    def test_a_private_one_is_told_apart(self, other: Pair) -> None:
        with pytest.raises(InvalidKey, match=r"this is a private key, and the public one is expected.*-pubout"):
            PublicKey.load(other.private, "pub.pem")

    def test_another_kind_is_refused(self) -> None:
        with pytest.raises(InvalidKey, match="an RSA key, which is not used here"):
            PublicKey.load(Pair.make("rsa").public, "pub.pem")

    def test_what_is_none_is_refused(self) -> None:
        with pytest.raises(InvalidKey, match=r"pub\.pem: this is no public key in PEM form"):
            PublicKey.load(b"hello", "pub.pem")


class TestWhereTheKeyComesFrom:
    @pytest.fixture(autouse=True)
    def nothing_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MILLWRIGHT_SIGNING_KEY", raising=False)

    def test_without_one_nothing_is_signed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert signing_key(None) is None
        monkeypatch.setenv("MILLWRIGHT_SIGNING_KEY", " \n")
        assert signing_key(None) is None

    def test_a_pod_has_it_in_its_environment(self, monkeypatch: pytest.MonkeyPatch, other: Pair) -> None:
        monkeypatch.setenv("MILLWRIGHT_SIGNING_KEY", other.private.decode())

        key = signing_key(None)

        assert key is not None
        assert key.public.id == public(other).id

    def test_a_bad_one_is_told_by_the_variables_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MILLWRIGHT_SIGNING_KEY", "no key")

        with pytest.raises(InvalidKey, match=r"^MILLWRIGHT_SIGNING_KEY: this is no private key"):
            signing_key(None)

    def test_a_file_comes_before_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: Pair, pair: Pair
    ) -> None:
        monkeypatch.setenv("MILLWRIGHT_SIGNING_KEY", other.private.decode())
        (tmp_path / "key.pem").write_bytes(pair.private)

        key = signing_key(tmp_path / "key.pem")

        assert key is not None
        assert key.public.id == public(pair).id

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidKey, match=r"--sign-key .*no\.pem: the key cannot be read: No such file"):
            signing_key(tmp_path / "no.pem")

    def test_a_file_that_is_far_too_long_is_not_read_to_its_end(self, tmp_path: Path) -> None:
        (tmp_path / "weights").write_bytes(b"x" * 100_000)

        with pytest.raises(InvalidKey, match="far too long"):
            read_key(tmp_path / "weights", "--key")
