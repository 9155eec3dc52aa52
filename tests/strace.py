"""Watches system calls of a process and of all its children, by strace."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_CONNECTION = re.compile(
    r"^\d+ +(?P<call>\w+)\(.*?sa_family=AF_INET6?, sin6?_port=htons\((?P<port>\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"(?P<host>[^\"]+)\""
)
_READ = re.compile(r"^\d+ +p?read(?:v|64)?\(\d+<(?P<path>[^>]+)>.*\) += (?P<bytes>\d+)$")
_UNFINISHED = re.compile(r"^(?P<thread>\d+) +(?P<start>.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)$")


def strace(
    calls: str, log: Path, command: Sequence[str], environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Runs a command and writes what it asked of the system to `log`.

    Args:
        calls: names of system calls, commas between.
    """
    program = shutil.which("strace")
    assert program, (
        "this test needs strace, and it is not installed: tools/testtools.sh does that as root (apt-get install strace)"
    )
    return subprocess.run(
        [program, "-f", "--seccomp-bpf", "-qq", "-y", "-s", "0", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(log), *command],
        env=environment, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def addresses(log: Path) -> set[tuple[str, int]]:
    """Returns the internet addresses, host and port, that were connected to or sent to; failed tries count too."""
    found = (_CONNECTION.match(line) for line in log.read_text().splitlines())
    return {(match["host"], int(match["port"])) for match in found if match}


def bytes_read(log: Path) -> dict[str, int]:
    """Returns how many bytes were read of each file, by its name without folders; `calls` were "read,readv,pread64"."""
    read: Counter[str] = Counter()
    for match in filter(None, map(_READ.match, _whole_lines(log))):
        read[Path(match["path"]).name] += int(match["bytes"])
    return dict(read)


def _whole_lines(log: Path) -> Iterator[str]:
    """A call during which another thread's was noted stands on two lines: here it is one."""
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        if start := _UNFINISHED.match(line):
            begun[start["thread"]] = start["start"]
        elif (end := _RESUMED.match(line)) and end["thread"] in begun:
            yield f"{end['thread']} {begun.pop(end['thread'])}{end['rest']}"
        else:
            yield line
