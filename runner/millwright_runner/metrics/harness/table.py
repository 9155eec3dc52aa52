"""Rows as the harness wants them: a data set of Hugging Face's datasets, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millwright_api.errors import InvalidData


def table(rows: Sequence[dict[str, Any]]) -> Any:
    """Returns rows as a `datasets.Dataset`.

    Raises:
        InvalidData: a column does not hold the same kind of value in all rows.
    """
    import datasets
    import pyarrow

    try:
        return datasets.Dataset.from_list(list(rows))
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        text = " ".join(str(error).split())[:300]
        raise InvalidData(f"the rows are no table: {text}", hint="a column holds the same kind in all rows") from error
