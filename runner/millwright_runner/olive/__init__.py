"""Olive's workflow JSON, new and old, as an OptimizationJob.

`mapping.yaml` says what becomes of each key; the modules walk it. Every line of the JSON is mapped, noted or listed.
"""

from __future__ import annotations

from millwright_runner.olive.convert import Imported, convert, looks_like_olive, read_config
from millwright_runner.olive.render import to_yaml
from millwright_runner.olive.trace import Note, Unmapped

__all__ = ["Imported", "Note", "Unmapped", "convert", "looks_like_olive", "read_config", "to_yaml"]
