"""Time and memory of a step."""

from __future__ import annotations

import threading
import time
from typing import Final, NamedTuple

_INTERVAL: Final = 0.02


class Cost(NamedTuple):
    """What a step took: seconds and the highest memory in MB."""

    step: str
    seconds: float
    peak: float


class Meter:
    """Measures seconds and the highest memory of this process while it is entered.

    Attributes
    ----------
    seconds : float
    peak : float
        Resident memory in MB, sampled every 20 ms.
    """

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._stop = threading.Event()
        self.seconds = 0.0
        self.peak = 0.0

    def __enter__(self) -> Meter:
        """Start the clock."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self._started
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss / 1e6)
            if self._stop.wait(_INTERVAL):
                return
