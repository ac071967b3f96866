"""Where the stage of an electron microscope stood, from the metadata of Bruker, Velox, Gatan and TIA files.

Each writes it in units of its own; see `fusion.reading.stage` for the frame that it leads to.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import degrees, isfinite, nan
from typing import Any, Final, NamedTuple

from fusion.reading.stage import Stage
from spectra.attributes import lookup

_METRE: Final = 1e6
_GATAN: Final = ("ImageList", "TagGroup0", "ImageTags")


class Readout(NamedTuple):
    """What the stage reads, the scan rotation in degrees, and what the coordinates of the file start from.

    With `central`, they are counted from the centre of the field, so that a small map has its position in the image.
    """

    stage: Stage
    scan_rotation: float = 0.0
    central: bool = False


def read(original: Mapping[str, Any], plugin: str) -> Readout | None:
    """Return the readout of the stage; None where the file does not state it, or it is zero throughout.

    Bruker (bcf, spx) writes X, Y, Z in um and Rotation, Tilt in degrees (``TRTSEMStageData``), Velox metres and
    radians (``Stage/Position``, ``AlphaTilt``, ``BetaTilt``, ``Scan/ScanRotation``), Gatan and TIA um and degrees. An
    SEM has one tilt, so that the second angle which Gatan calls beta is there its rotation. Gatan does not say where
    in the field of view a spectrum image was scanned: the middle of it is placed at the readout.

    Parameters
    ----------
    original : mapping
        The vendor's metadata, as RosettaSciIO returns them.
    plugin : str
        Module of RosettaSciIO.

    Examples
    --------
    >>> read({"Stage": {"X": 10.0, "Y": 20.0, "Z": 5.0, "Rotation": 30.0, "Tilt": 0.5}}, "bruker").stage
    Stage(x=10.0, y=20.0, z=5.0, rotation=30.0, tilt=0.5, cross_tilt=0.0)
    """
    reader = _READERS.get(plugin)
    readout = reader(original) if reader else None
    return readout if readout and any(readout.stage) else None


def _bruker(original: Mapping[str, Any]) -> Readout:
    keys = {"x": "X", "y": "Y", "z": "Z", "rotation": "Rotation", "tilt": "Tilt"}
    return Readout(Stage(**_numbers(lookup(original, "Stage"), keys)))


def _velox(original: Mapping[str, Any]) -> Readout:
    position = _numbers(lookup(original, "Stage", "Position"), {"x": "x", "y": "y", "z": "z"})
    tilts = _numbers(lookup(original, "Stage"), {"tilt": "AlphaTilt", "cross_tilt": "BetaTilt"})
    scan = _numbers(lookup(original, "Scan"), {"rotation": "ScanRotation"})
    angles = {key: degrees(angle) for key, angle in tilts.items()}
    stage = Stage(**{dim: value * _METRE for dim, value in position.items()}, **angles)
    return Readout(stage, degrees(scan.get("rotation", 0.0)), central=True)


def _gatan(original: Mapping[str, Any]) -> Readout:
    settings = lookup(original, *_GATAN, "Microscope Info") or {}
    second = "rotation" if settings.get("Illumination Mode") == "SEM" else "cross_tilt"
    keys = {"x": "Stage X", "y": "Stage Y", "z": "Stage Z", "tilt": "Stage Alpha", second: "Stage Beta"}
    scan = _numbers(lookup(original, *_GATAN, "DigiScan"), {"rotation": "Rotation"})
    return Readout(Stage(**_numbers(settings.get("Stage Position"), keys)), scan.get("rotation", 0.0))


def _tia(original: Mapping[str, Any]) -> Readout:
    settings = lookup(original, "ObjectInfo", "ExperimentalDescription")
    keys = {dim: f"Stage {dim.upper()}_um" for dim in "xyz"} | {"tilt": "Stage A_deg", "cross_tilt": "Stage B_deg"}
    # RosettaSciIO has written these names with spaces and with underscores
    known = {str(key).replace("_", " "): value for key, value in (settings or {}).items()}
    return Readout(Stage(**_numbers(known, {key: name.replace("_", " ") for key, name in keys.items()})), central=True)


def _numbers(settings: Any, keys: Mapping[str, str]) -> dict[str, float]:
    """Return the entries that are numbers; a stage that was not read leaves them empty or writes a word."""
    values: Mapping[str, Any] = settings if isinstance(settings, Mapping) else {}
    read = {key: _number(values.get(name)) for key, name in keys.items()}
    return {key: value for key, value in read.items() if isfinite(value)}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan


_READERS: Final = {"bruker": _bruker, "emd": _velox, "digitalmicrograph": _gatan, "tia": _tia}
