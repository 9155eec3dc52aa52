"""What `datasets` and the hub's client are built on, imported by the server of warm processes.

Neither of the two themselves: they read the environment when they are imported, and whether they are is what tests look at.
"""

from __future__ import annotations

import importlib
import sys

MODULES = """
    aiohttp anyio asyncio cloudpickle dill filelock fsspec fsspec.asyn fsspec.callbacks fsspec.implementations.http fsspec.implementations.local h11 httpcore2
    httpx2 multiprocess multiprocess.pool numpy pandas pyarrow pyarrow.compute pyarrow.csv pyarrow.dataset pyarrow.json
    pyarrow.parquet scipy.io scipy.sparse tokenizers tqdm.auto tqdm.contrib.concurrent truststore unittest.mock xml.dom.minidom xxhash yaml
    millwright_runner.data millwright_runner.data.packing millwright_runner.data.csv_rows millwright_runner.data.json_rows
    millwright_runner.data.parquet_rows
"""
LOADED = [importlib.import_module(name) for name in MODULES.split()]

assert not {"datasets", "huggingface_hub", "torch"} & set(sys.modules), "a fork would begin with what it shall not have"
