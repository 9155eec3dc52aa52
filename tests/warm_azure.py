"""What `millwright submit`, and a pod that speaks to Azure ML, import, imported by the server of warm processes.

Which verbs load Azure's SDKs, and which do not, is seen by test_cli_process.
"""

from __future__ import annotations

import importlib

from tests.warm_command import LOADED as COMMAND

AZURE = """
    azure.ai.ml azure.ai.ml.entities azure.identity azure.keyvault.secrets azure.storage.blob msal_extensions
    millwright_runner.azure.workspace millwright_runner.azure.datastores millwright_runner.look
    millwright_runner.remote.courier millwright_runner.stores.azure_blob
"""
LOADED = [*COMMAND, *map(importlib.import_module, AZURE.split())]
