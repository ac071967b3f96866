"""Tables of numbers as text: the decimal comma of some countries, and whether the last number is all there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fusion.errors import FileReadError

_WITH_COMMA: Final = re.compile(r"^[-+]?\d*,\d+(?:[eE][-+]?\d+)?$")
_NUMBER: Final = re.compile(r"^[-+]?\d*[.,]?\d*(?:[eE][-+]?\d+)?$")


def decimal_points(path: Path, lines: Sequence[str]) -> list[str]:
    r"""Return the lines of a table whose columns stand apart by blanks, tabs or semicolons, with decimal points.

    Parameters
    ----------
    path : Path
    lines : sequence of str

    Raises
    ------
    FileReadError
        If there are commas that are no decimal ones, or points beside them.

    Examples
    --------
    >>> decimal_points(Path("a.txt"), ["100,5\t3,25"])
    ['100.5\t3.25']
    """
    if not any("," in line for line in lines):
        return list(lines)
    tokens = [token for line in lines for token in re.split(r"[\s;]+", line) if "," in token]
    odd = next((token for token in tokens if not _WITH_COMMA.match(token)), "")
    if odd or any("." in line for line in lines):
        reason = f"its numbers have commas that are not all decimal commas ({odd or 'points stand beside them'})"
        raise FileReadError(path, reason, hint="export it with decimal points and without marks of thousands")
    return [line.replace(",", ".") for line in lines]


def ends_within_a_number(lines: Sequence[str]) -> bool:
    r"""Whether the last line has no end and its last number may lack digits.

    Programs that write no end to the last line exist. The number is complete if it has as many decimals as all others
    in its column have.

    Examples
    --------
    >>> ends_within_a_number(["1.00 2.50\n", "1.50 2.75"]), ends_within_a_number(["1.00 2.50\n", "1.50 2.7"])
    (False, True)
    """
    rows = [line for line in lines if line.strip()]
    if not rows or rows[-1].endswith("\n"):
        return False
    decimals = {_decimals(row) for row in rows[:-1]}
    return decimals != {_decimals(rows[-1])} or decimals == {0}


def _decimals(row: str) -> int:
    token = re.split(r"[\s;,]+", row.strip().strip(";,"))[-1]
    return len(token.partition(".")[2]) if _NUMBER.match(token) else 0
