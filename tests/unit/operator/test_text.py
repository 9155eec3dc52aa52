"""What is shown of logs and messages: short, printable, without secrets. And amounts, for people and for sums."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright_api.quantities import amount, in_bytes, spoken
from millwright_operator.text import cut, last_lines, redacted, shown


class TestSecrets:
    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "AWS_SECRET_ACCESS_KEY=[redacted]"),
            ("aws_session_token: FwoGZXIvYXdzEBY", "aws_session_token: [redacted]"),
            ("{'secret_key': 'abcdef123', 'x': 1}", "{'secret_key': '[redacted]', 'x': 1}"),
            ('{"apiKey": "sk-abcdef123"}', '{"apiKey": "[redacted]"}'),
            ("HF_TOKEN=hf_AbCdEfGhIjKlMn", "HF_TOKEN=[redacted]"),
            ("401 for hf_AbCdEfGhIjKlMn", "401 for [redacted]"),
            ("Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer [redacted]"),
            ("key AKIAIOSFODNN7EXAMPLE is unknown", "key [redacted] is unknown"),
            ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[redacted]"),
            ("https://me:pa55word@store/x", "https://me:[redacted]@store/x"),
            ("GET /x?X-Amz-Signature=0123abcd&y=1", "GET /x?X-Amz-Signature=[redacted]&y=1"),
            ("password = hunter2!", "password = [redacted]"),
        ],
    )
    def test_what_looks_like_one_is_not_told(self, said: str, told: str) -> None:
        assert redacted(said) == told

    @pytest.mark.parametrize(
        "said",
        [
            "spec.credentials[0].secretName: the Secret team-a-s3 does not exist in the job's namespace",
            "data[0].text.columns: 'tone' is no column (possible: phrase, mood)",
            "the tokenizer has 32064 tokens and the model 32000",
            "tokens 4096 exceed maxLength 2048",
            "s3://team-a/models/phi3: AccessDenied (HF_TOKEN is not set)",
        ],
    )
    def test_what_is_none_is_told(self, said: str) -> None:
        assert redacted(said) == said

    def test_a_word_of_a_hundred_thousand_letters_is_looked_at_once(self) -> None:
        word = "x" * 100_000

        assert redacted(f"{word} {word}_TOKEN=abcdef123") == f"{word} {word}_TOKEN=[redacted]"

    def test_twice_is_as_once(self) -> None:
        once = redacted("TOKEN=abcdef123 password: 'xyzxyz'")

        assert redacted(once) == once


class TestCutting:
    def test_bytes_are_counted_not_characters(self) -> None:
        assert cut("ä" * 10, 11) == "ääää…"
        assert len(cut("ä" * 10, 11).encode()) == 11

    @given(st.text(), st.integers(3, 60))
    def test_it_is_never_longer_and_always_text(self, text: str, limit: int) -> None:
        assert len(cut(text, limit).encode()) <= limit

    @given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
    def test_what_is_short_enough_stays(self, text: str) -> None:
        assert cut(text, 240) == text

    def test_control_characters_are_spaces_and_lines_stay(self) -> None:
        assert shown("a\x1b[31mb\x00c\nd\t", 100) == "a [31mb c\nd"

    def test_half_a_character_is_no_fault(self) -> None:
        assert shown("\ud83d broken", 100).endswith("broken")

    def test_of_a_log_the_last_lines_are_kept_whole(self) -> None:
        assert last_lines("first\n\nsecond line\nthird\n", 18) == "second line\nthird"

    def test_of_one_long_line_the_start_is_kept(self) -> None:
        assert last_lines("x" * 50, 10) == "xxxxxxx…"

    def test_of_nothing_nothing(self) -> None:
        assert last_lines("\n \n", 10) == ""


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("2Gi", Decimal(2 * 2**30)),
            ("1024Mi", Decimal(2**30)),
            ("500m", Decimal("0.5")),
            ("1.5", Decimal("1.5")),
            (4, Decimal(4)),
            ("2k", Decimal(2000)),
            ("1E", Decimal(10**18)),
            ("1e3", Decimal(1000)),
            ("+3M", Decimal(3_000_000)),
        ],
    )
    def test_they_are_read_as_kubernetes_reads_them(self, text: str | int, number: Decimal) -> None:
        assert amount(text) == number

    @pytest.mark.parametrize("text", ["", "much", "Gi", "1 Gi", "1gib", "--1", "."])
    def test_what_is_none_is_none(self, text: str) -> None:
        assert amount(text) is None

    def test_bytes_are_whole(self) -> None:
        assert (in_bytes("1.5Ki"), in_bytes(None), in_bytes("x")) == (1536, None, None)

    @pytest.mark.parametrize(
        ("number", "said"),
        [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2040109465, "1.9 GiB"), (5 * 2**40, "5.0 TiB")],
    )
    def test_people_read_binary_units(self, number: int, said: str) -> None:
        assert spoken(number) == said
