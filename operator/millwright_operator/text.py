"""What is fit to be shown: cut to bytes, without control characters, without what looks like a secret."""

from __future__ import annotations

import re

from millwright_api.report import cut

_HIDDEN = "[redacted]"

_SECRETS = (
    # NAME=value, "name": "value", name: value, where the name says that it is secret. Tried at a word's start alone: at each
    # letter of it, a log of one long word would take the operator minutes
    re.compile(
        r"(?i)((?<![\w.-])[\w.-]*(?:secret|token|passw(?:or)?d|api_?key|access_?key|credential)[\w.-]*[\"']?\s*[:=]\s*[\"']?)"
        r"(?!\[redacted\])([^\s\"',;&)}\]]{4,})"
    ),
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{8,})"),
    re.compile(r"()\b(hf_[A-Za-z0-9]{8,})"),
    re.compile(r"()\b((?:AKIA|ASIA)[A-Z0-9]{12,})\b"),
    re.compile(r"()\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?)"),
    re.compile(r"(://[^\s/:@]*:)([^\s/@]+)(?=@)"),
    re.compile(r"(?i)([?&](?:x-amz-signature|x-amz-credential|x-amz-security-token|sig)=)([^\s&\"']+)"),
)


def redacted(text: str) -> str:
    """Returns a text in which values that look like secrets are replaced: assignments to names such as
    AWS_SECRET_ACCESS_KEY, Bearer tokens, hf_… and AKIA… keys, JSON web tokens, passwords and signatures in URLs."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda found: f"{found[1]}{_HIDDEN}", text)
    return text


def shown(text: str, limit: int) -> str:
    """Returns a text for a person: redacted, control characters as spaces, at most `limit` UTF-8 bytes of its start."""
    if not text:  # as most conditions' messages, which are asked for at every look
        return ""
    return cut(redacted("".join(c if c.isprintable() or c == "\n" else " " for c in text)).strip(), limit)


def last_lines(log: str, limit: int) -> str:
    """Returns the end of a log, whole lines of it while they fit into `limit` UTF-8 bytes, blank ones left out."""
    kept: list[str] = []
    for line in reversed([line.rstrip() for line in log.splitlines() if line.strip()]):
        if kept and len("\n".join([line, *kept]).encode(errors="replace")) > limit:
            break
        kept.insert(0, line)
    return cut("\n".join(kept), limit)
