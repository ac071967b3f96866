"""Everything a file says of itself, as JSON text: the attribute ``original_metadata``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

SIGNAL_MARK: Final = "_sig_"
"""HyperSpy marks signals within a tree so, and would try to build one of what JSON keeps of it."""
_LONGEST: Final = 256
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def as_json(tree: Any, *, longest: int | None = _LONGEST) -> str:
    """Return JSON text of any tree; what JSON does not know is kept as text, and HyperSpy's signals are left out.

    Parameters
    ----------
    tree : mapping or list
    longest : int, optional
        Arrays and lists longer than this are described by their shape; None keeps all.

    Examples
    --------
    >>> as_json({"kV": np.float32(20), "map": np.zeros((64, 64)), "gain": float("nan"), "raw": b"ok"})
    '{"kV": 20.0, "map": "float64 array (64, 64)", "gain": "nan", "raw": "ok"}'
    """
    return json.dumps(plain(tree, longest=longest), ensure_ascii=False)


def plain(value: Any, *, longest: int | None = _LONGEST) -> Any:
    """Return a value as JSON knows it: mappings, lists, numbers and text; see `as_json`."""
    return _plain(value, math.inf if longest is None else longest)


def text(value: Any) -> str:
    """Return text that a file holds, as text or as bytes.

    Examples
    --------
    >>> text(b"um"), text("um"), text(5)
    ('um', 'um', '5')
    """
    decoded = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return decoded.replace("\x00", "")


def decoded(content: bytes) -> str:
    """Return the text of a file in whichever encoding: by its first bytes, else UTF-8, else Latin-1.

    Examples
    --------
    >>> decoded("µm".encode("utf-16")), decoded("µm".encode("utf-8-sig")), decoded("µm".encode("latin-1"))
    ('µm', 'µm', 'µm')
    """
    if content.startswith(_UTF16):
        return content[: len(content) // 2 * 2].decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _plain(value: Any, longest: float) -> Any:
    if isinstance(value, Mapping):
        kept = {text(key): entry for key, entry in value.items() if not text(key).startswith(SIGNAL_MARK)}
        return {key: _plain(entry, longest) for key, entry in kept.items()}
    if hasattr(value, "dtype") and value.ndim:
        small = value.size <= longest and isinstance(value, np.ndarray)
        return _plain(value.tolist(), longest) if small else f"{value.dtype} array {value.shape}"
    if isinstance(value, np.generic):
        return _plain(value.item(), longest)
    if isinstance(value, (list, tuple)):
        return [_plain(entry, longest) for entry in value] if len(value) <= longest else f"list of {len(value)}"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, (bool, int)) or value is None else text(value)
