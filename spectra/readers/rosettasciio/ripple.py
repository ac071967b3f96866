"""What RosettaSciIO leaves aside in Ripple files (rpl beside raw): an axis without a zero, a header without an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fusion.errors import FileReadError

Raw = dict[str, Any]
_NEEDED: Final = ("depth-scale", "depth-origin", "depth-units")
_SCALES: Final = ("depth-scale", "ev-per-chan")
_SIZES: Final = ("width", "height", "depth", "offset")
_OF_FEW_WORDS: Final = ("data-length", "data-type", "byte-order", "record-by", *_SIZES)
"""Keys whose value is complete for certain: the reader accepts few words, and the length of the values proves sizes."""
_NO_END: Final = "the last line of its header has no end: complete, or cut within it"


def corrected(raws: list[Raw], path: Path) -> list[Raw]:
    """Let the depth of a map run along the channels of the detector, unless the file says scale, zero and unit.

    What other programs write has no more than ``ev-per-chan``: the energy of the first channel is not known, and
    `spectra.calibrate` takes it from the user. A header whose last line has no end may be cut, and says so in the
    attribute ``truncated``, unless that line is complete for certain.

    Parameters
    ----------
    raws : list of dict
        As RosettaSciIO reads them.
    path : Path

    Raises
    ------
    FileReadError
        If the last line is a size that is too small for the values beside it.
    """
    attrs = _end_of_header(raws[0]["original_metadata"], path)
    labelled = [raw if all(key in raw["original_metadata"] for key in _NEEDED) else _plain(raw) for raw in raws]
    return [{**raw, "attrs": attrs} for raw in labelled]


def _plain(raw: Raw) -> Raw:
    plain = {"name": "channel", "units": "", "scale": 1.0, "offset": 0.0}
    return {**raw, "axes": [{**axis, **plain} if axis["name"] == "depth" else axis for axis in raw["axes"]]}


def _end_of_header(header: dict[str, Any], path: Path) -> dict[str, str]:
    content = path.read_text(encoding="latin-1")
    if content.endswith(("\n", "\r", ")")):  # the files of INCA end with a bracket
        return {}
    key = content.splitlines()[-1].split("\t")[0].strip().lower()
    if key in _SIZES and _length(header) != _values(path).stat().st_size:
        raise FileReadError(path, f"cut short within its last line, {key}", hint="copy it again")
    return {} if key in _OF_FEW_WORDS and any(scale in header for scale in _SCALES) else {"truncated": _NO_END}


def _length(header: dict[str, Any]) -> int:
    samples = int(header["width"]) * int(header["height"]) * int(header["depth"])
    return samples * int(header["data-length"]) + int(header["offset"])


def _values(path: Path) -> Path:
    return next(file for end in ("raw", "RAW") if (file := path.with_name(path.name[:-3] + end)).is_file())
