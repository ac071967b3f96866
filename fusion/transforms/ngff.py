"""Coordinate transformations of OME-NGFF, as JSON: from an input to an output system of named axes with units."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.conventions import SPATIAL
from fusion.errors import FileReadError
from fusion.units import convert_factor

Array = npt.NDArray[np.float64]
_MOVING, _FIXED = "moving", "fixed"
_VERSION: Final = "0.6.dev3"


def text_of(matrix: Array) -> str:
    """Return a matrix (4, 4) on (z, y, x, 1) in um, from moving to fixed, as JSON."""
    axes = [{"name": dim, "type": "space", "unit": "micrometer"} for dim in SPATIAL]
    systems = [{"name": name, "axes": axes} for name in (_MOVING, _FIXED)]
    transformation = {**_described(matrix), "input": _MOVING, "output": _FIXED}
    content = {"version": _VERSION, "coordinateSystems": systems, "coordinateTransformations": [transformation]}
    return json.dumps({"ome": content}, indent=2)


def _described(matrix: Array) -> dict[str, Any]:
    """Return a scale and a translation where these suffice, which all versions know, else an affine."""
    linear, shift = matrix[:3, :3], matrix[:3, 3].tolist()
    if np.array_equal(linear, np.diag(np.diag(linear))):
        scale = {"type": "scale", "scale": np.diag(linear).tolist()}
        return {"type": "sequence", "transformations": [scale, {"type": "translation", "translation": shift}]}
    return {"type": "affine", "affine": matrix[:3].tolist()}


def read(path: Path) -> Array:
    """Return the matrix (4, 4) of a file on (z, y, x, 1) in um, from its input to its output."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = content.get("ome", content)
        (transformation,) = content["coordinateTransformations"]
        systems = {system["name"]: system["axes"] for system in content["coordinateSystems"]}
        start, end = (_to_um(path, systems[transformation[side]]) for side in ("input", "output"))
        inner = _matrix(path, transformation, len(start) - 1)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileReadError(
            path, f"no file with one coordinate transformation of OME-NGFF between named systems ({error!r})"
        ) from error
    matrix = np.eye(4)
    matrix[4 - len(start) :, 4 - len(start) :] = end @ inner @ np.linalg.inv(start)
    return matrix


def _to_um(path: Path, axes: Sequence[Mapping[str, Any]]) -> Array:
    """Return the matrix that brings the axes of a system into the order z, y, x and to um."""
    names = [str(axis["name"]) for axis in axes]
    dims = SPATIAL[-len(names) :]
    if sorted(names) != sorted(dims):
        raise FileReadError(path, f"axes are {', '.join(dims)} in any order; received {', '.join(names)}")
    matrix = np.zeros((len(names) + 1, len(names) + 1))
    matrix[-1, -1] = 1.0
    for column, axis in enumerate(axes):
        if "unit" not in axis:
            raise FileReadError(path, f"the axis {axis['name']} has no unit, so that lengths cannot be brought to um")
        matrix[dims.index(axis["name"]), column] = convert_factor(axis["unit"], "um")
    return matrix


def _matrix(path: Path, described: Mapping[str, Any], dim: int) -> Array:
    """Return the matrix of a transformation in the order and unit of its own axes."""
    matrix, kind = np.eye(dim + 1), described["type"]
    if kind == "identity":
        return matrix
    if kind == "sequence":
        for step in described["transformations"]:
            matrix = _matrix(path, step, dim) @ matrix
        return matrix
    if kind not in ("scale", "translation", "rotation", "affine"):
        raise FileReadError(path, f"a transformation {kind!r} is not linear or not known",
                            hint="known are identity, scale, translation, rotation, affine and sequence")  # fmt: skip
    values = np.array(described[kind], dtype=float)
    if kind == "scale":
        matrix[:dim, :dim] = np.diag(values)
    elif kind == "translation":
        matrix[:dim, dim] = values
    elif kind == "rotation":
        matrix[:dim, :dim] = values.reshape(dim, dim)
    else:
        matrix[:dim] = values.reshape(dim, dim + 1)
    return matrix
