"""What the formats of scanning probe microscopes have in common: a frame of lines, its position, and named channels.

Height is a surface z(y, x) in um and points away from the specimen. x follows the fast axis, y points up on the
screen of the microscope, so that x, y and height are right-handed; coordinates run from the centre of the frame. Where
the file gives a scan angle or an offset, the pose turns the frame about its centre, then shifts it on the stage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.affine import Affine
from fusion.conventions import cell_methods
from fusion.errors import UnitError
from fusion.model import Axis
from fusion.reading.stage import STAGE
from fusion.reading.stored_array import IMAGE, StoredArray

Array = npt.NDArray[np.float64]
_DEGREES: Final = ("°", "º", "Â°", "deg", "Deg")
_HEIGHTS: Final = {"z_axis": "height", "z_axis_sensor": "height_sensor", "z_sensor": "height_sensor"}
_RETRACE: Final = re.compile(r"_(retrace|backward)$")
_MODES: Final = (
    ("tapping", re.compile("^(?!.*peak).*(tapping|intermittent|ac mode|phase contrast|dynamic)", re.IGNORECASE)),
    ("contact", re.compile("contact|static force", re.IGNORECASE)),
)


@dataclass(frozen=True)
class Frame:
    """The lines of a scan: how many pixels y, x and how large each is.

    Parameters
    ----------
    shape : tuple of int
        Lines, and points of a line.
    steps : tuple of float, optional
        Distance of lines, and of points on a line, in `unit`; None where the file does not know the length.
    unit : str
    pose : Affine, optional
        From the centred frame to the stage.
    about, metadata : mapping
        See `StoredArray`.
    """

    shape: tuple[int, int]
    steps: tuple[float, float] | None
    unit: str = "m"
    pose: Affine | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def axes(self) -> dict[str, Axis]:
        """Axes that have their zero in the centre of the frame; none where no length is known."""
        if self.steps is None:
            return {}
        pairs = zip(IMAGE, self.shape, self.steps, strict=True)
        return {dim: Axis(self.unit, step=step, offset=-(size - 1) / 2 * step) for dim, size, step in pairs}


def placed(angle: float, y: float, x: float) -> Affine:
    """Return the pose of a frame turned by `angle` degrees, from x towards y, with its centre at y, x um."""
    return Affine.translation(y=y, x=x) @ Affine.rotation(angle)


def channel(name: str, title: str, unit: str | None, frame: Frame, read: Callable[[], Array]) -> StoredArray:
    """Return one channel as a part; its lengths become um, and its variable bears its name.

    Parameters
    ----------
    name : str
        Of the variable.
    title : str
        What the file calls it.
    unit : str or None
        Of the values that `read` returns; None where the file does not say.
    frame : Frame
    read : callable
        Returns the values, first line at the smallest y.
    """
    standard, factor = _standard(unit)
    attrs = {"units": standard or "1", "long_name": title, **cell_methods("yx", "point")}
    if standard is None:
        attrs["comment"] = f"the file gives the unit {unit!r}" if unit else "the file does not state the unit"
    return StoredArray(
        name=name,
        dims=IMAGE,
        shape=frame.shape,
        dtype=np.dtype(np.float64),
        load=lambda: np.ascontiguousarray(read() * factor),
        axes=frame.axes,
        attrs=attrs,
        dataset_attrs=frame.about,
        pose=frame.pose,
        frame=STAGE if frame.pose else "",
        metadata=frame.metadata,
        variable=name,
    )


def variable_name(title: str) -> str:
    """Return the name of a variable for what a file calls a channel.

    Examples
    --------
    >>> [variable_name(title) for title in ("HeightTrace", "Z-Axis", "Amplitude Error", "ZSensorRetrace")]
    ['height', 'height', 'amplitude_error', 'height_sensor_retrace']
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", title)
    plain = re.sub(r"\W+|_+", "_", words).strip("_").lower()
    base = _RETRACE.sub("", re.sub(r"_(trace|forward)$", "", plain))
    suffix = "_retrace" if _RETRACE.search(plain) else ""
    return f"{_HEIGHTS.get(base, base)}{suffix}"


def imaging_mode(text: str) -> dict[str, str]:
    """Return the attribute that tells contact from tapping; what the file says where it is neither."""
    known = next((mode for mode, words in _MODES if words.search(text)), text.strip().lower())
    return {"imaging_mode": known} if known else {}


def _standard(unit: str | None) -> tuple[str | None, float]:
    """Return the unit as it is kept and the factor to it; None for one that is missing or unknown."""
    try:
        parsed = "degree" if unit and unit.strip() in _DEGREES else units.parse(unit)
    except UnitError:
        return None, 1.0
    if units.is_compatible(parsed, units.LENGTH):
        return units.LENGTH, units.convert_factor(parsed, units.LENGTH)
    return parsed, 1.0
