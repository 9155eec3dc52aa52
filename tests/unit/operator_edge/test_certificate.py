"""The endpoint's certificate: what it is good for, and that a renewed one is taken."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from millwright_operator.certificate import CLOCK_SKEW, Files, Made, make

HOST = "millwright-progress.a-namespace-with-a-rather-long-name-for-one-of-these.svc"


@pytest.fixture(scope="module")
def made() -> Made:
    return make([HOST, "localhost"])


def write(made: Made, folder: Path) -> Files:
    (folder / "tls.crt").write_bytes(made.cert)
    (folder / "tls.key").write_bytes(made.key)
    return Files(folder / "tls.crt", folder / "tls.key")


def handshake(made: Made, files: Files, host: str) -> str:
    """Lets a client that trusts the CA meet the server; returns the TLS version."""
    trust = ssl.create_default_context(cadata=made.ca.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server, server_hostname=host)
    server = files.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version() or ""


class TestMaking:
    @pytest.mark.parametrize("host", [HOST, "localhost"])
    def test_a_client_that_trusts_the_ca_trusts_the_server_by_its_names(
        self, made: Made, tmp_path: Path, host: str
    ) -> None:
        files = write(made, tmp_path)
        files.refresh()

        assert handshake(made, files, host) == "TLSv1.3"

    def test_another_name_is_refused(self, made: Made, tmp_path: Path) -> None:
        files = write(made, tmp_path)
        files.refresh()

        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'elsewhere'"):
            handshake(made, files, "elsewhere")

    def test_another_ca_is_refused(self, made: Made, tmp_path: Path) -> None:
        files = write(made, tmp_path)
        files.refresh()

        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(make(["localhost"]), files, "localhost")

    def test_it_is_valid_for_ten_years_from_a_little_before(self) -> None:
        noon = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

        cert = x509.load_pem_x509_certificate(make(["a"], noon).cert)

        assert cert.not_valid_before_utc == noon - CLOCK_SKEW
        assert cert.not_valid_after_utc - cert.not_valid_before_utc == timedelta(days=3650)

    def test_it_can_sign_nothing_and_is_a_server_s_only(self, made: Made) -> None:
        cert = x509.load_pem_x509_certificate(made.cert)

        assert cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
        assert list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
            ExtendedKeyUsageOID.SERVER_AUTH
        ]

    def test_the_secret_has_the_three_files_and_not_the_ca_s_key(self, made: Made) -> None:
        secret = made.secret("tls", "team-a")

        assert secret["type"] == "kubernetes.io/tls"
        assert sorted(secret["data"]) == ["ca.crt", "tls.crt", "tls.key"]
        assert base64.b64decode(secret["data"]["tls.crt"]) == made.cert
        assert base64.b64decode(secret["data"]["tls.key"]).count(b"PRIVATE KEY") == 2


class TestFilesThatAreRenewed:
    def test_unchanged_files_are_no_news(self, made: Made, tmp_path: Path) -> None:
        files = write(made, tmp_path)

        assert [files.refresh(), files.refresh()] == [True, False]

    def test_new_connections_see_the_renewed_certificate(self, made: Made, tmp_path: Path) -> None:
        files, renewed = write(made, tmp_path), make(["localhost"])
        files.refresh()

        write(renewed, tmp_path)

        assert files.refresh() is True
        assert handshake(renewed, files, "localhost") == "TLSv1.3"

    def test_half_of_a_renewal_leaves_the_former_in_use(self, made: Made, tmp_path: Path) -> None:
        files = write(made, tmp_path)
        files.refresh()
        (tmp_path / "tls.key").write_bytes(make(["localhost"]).key)

        with pytest.raises(ssl.SSLError):
            files.refresh()

        assert handshake(made, files, "localhost") == "TLSv1.3"

    def test_files_that_are_not_there_yet_are_said(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Files(tmp_path / "tls.crt", tmp_path / "tls.key").refresh()
