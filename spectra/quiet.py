"""Libraries that talk too much, kept quiet at the call."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep the logger `name` from reporting less than errors.

    Examples
    --------
    >>> with quiet("rsciio"):
    ...     logging.getLogger("rsciio").isEnabledFor(logging.WARNING)
    False
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def register_exspy() -> None:
    """Let eXspy register its signal classes; HyperSpy's complaint about how it imports them is not the user's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Importing `Lazy")
        import exspy.signals  # noqa: F401
