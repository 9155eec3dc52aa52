"""How long Azure's management services are waited for. Imports azure-core; only for who asks them."""

from __future__ import annotations

from typing import Any

from azure.core.pipeline.policies import RetryPolicy

CONNECT_SECONDS, READ_SECONDS = 10, 75
"""Of one attempt. Azure ML has been seen to think for a minute."""

RETRIES = 3
"""After the first attempt, for 408, 429, 5xx and no answer at all."""

TOGETHER_SECONDS = 180
"""Of all attempts at one question."""

FIRST_PAUSE, LONGEST_PAUSE = 0.8, 20
"""Seconds between two attempts, also where the service asks for more: who asks has a patience of its own, and tries again."""


class Patience(RetryPolicy[Any, Any]):
    """Azure's own way to ask again, with an end to it."""

    def __init__(self) -> None:
        super().__init__(
            retry_total=RETRIES,
            retry_connect=RETRIES,
            retry_read=1,
            retry_backoff_factor=FIRST_PAUSE,
            retry_backoff_max=LONGEST_PAUSE,
            timeout=TOGETHER_SECONDS,
        )

    def get_retry_after(self, response: Any) -> float | None:
        """Returns how long the service asks to wait, in seconds, up to LONGEST_PAUSE."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(float(asked), LONGEST_PAUSE)
