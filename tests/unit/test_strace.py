"""What the tests read out of strace's log."""

from __future__ import annotations

from pathlib import Path

from tests.strace import bytes_read

LOG = """\
41 read(5</data/rows.jsonl>, ""..., 8192) = 100
41 read(5</data/rows.jsonl>,  <unfinished ...>
42 read(7</data/other.json>,  <unfinished ...>
41 <... read resumed>""..., 8192)    = 20
42 pread64(9</data/rows.jsonl>, ""..., 4096, 120) = 3
42 <... read resumed>""..., 65536) = 7
42 read(9</data/rows.jsonl>, "", 8192) = -1 EINTR (Interrupted system call)
43 <... read resumed>""..., 512) = 512
"""


def test_bytes_are_counted_by_file_also_of_calls_that_another_thread_interrupted(tmp_path: Path) -> None:
    log = tmp_path / "strace"
    log.write_text(LOG)

    assert bytes_read(log) == {"rows.jsonl": 123, "other.json": 7}
