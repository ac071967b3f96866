"""The seal of a file: the sha256 of all its bytes, behind them in one line of text that HDF5 does not read."""

from __future__ import annotations

import hashlib
import re
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

_TEXT: Final = b"\nconspectus sha256 "
_LENGTH: Final = len(_TEXT) + 64 + 1
_LINE: Final = re.compile(re.escape(_TEXT) + rb"([0-9a-f]{64})\n")


class Seal(Enum):
    """Whether a file is as it was written; one that another program changed has no seal, as HDF5 cuts it off."""

    INTACT = "intact"
    BROKEN = "broken"
    MISSING = "missing"


def seal(file: BinaryIO) -> None:
    """Append the seal to a file that is open for reading and writing."""
    end = file.seek(0, 2)
    file.write(_TEXT + _sha256(file, end).encode() + b"\n")


def state(path: Path) -> Seal:
    """Return whether the bytes of a file are those that were sealed; one that another program wrote has no seal."""
    with path.open("rb") as file:
        end = file.seek(0, 2) - _LENGTH
        if end < 0:
            return Seal.MISSING
        file.seek(end)
        line = file.read(_LENGTH)
        match = _LINE.fullmatch(line)
        if match is None:
            return Seal.BROKEN if _resembles(line) else Seal.MISSING
        return Seal.INTACT if _sha256(file, end) == match[1].decode() else Seal.BROKEN


def _resembles(line: bytes) -> bool:
    """Whether a line is a seal with a few bytes changed."""
    return sum(first == second for first, second in zip(line, _TEXT, strict=False)) > len(_TEXT) // 2


def _sha256(file: BinaryIO, end: int) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while end > 0 and (content := file.read(min(end, 1 << 20))):
        digest.update(content)
        end -= len(content)
    return digest.hexdigest()
