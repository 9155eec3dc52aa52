"""What the command line imports at its start, and its verbs soon after, imported by the server of warm processes.

Nothing heavy: which of those libraries a command loads, and when, is what tests look at.
"""

from __future__ import annotations

import importlib

MODULES = """
    cli.app cli.summary pipeline page data.chat stores.s3 models.local pod.roles pod.preflight pod.stage pod.report
    passes.lora passes.qlora passes.merge passes.genai
"""
LOADED = [importlib.import_module(f"millwright_runner.{name}") for name in MODULES.split()]
