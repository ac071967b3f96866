"""Read and write transforms and landmarks of other programs, by the end of the file's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.affine import Affine
from fusion.errors import FileReadError, RegistrationError, StoreError, UnitError
from fusion.transforms import itk, landmarks, ngff
from fusion.units import convert_factor

Array = npt.NDArray[np.float64]
_TEXT = (".tfm", ".txt")
_HDF5 = (".h5", ".hdf5")
_SIDES = ("moving", "fixed")


def read_transform(path: str | PathLike[str], *, unit: str | None = None) -> Affine:
    """Read a transform of another program.

    Parameters
    ----------
    path : path-like
        ``.tfm``, ``.txt`` or ``.h5`` of ITK (axes x, y, z, from fixed to moving, with a centre), or ``.json`` of
        OME-NGFF (axes and units named, from input to output).
    unit : str, optional
        Of a file of ITK, which does not say it: mostly ``"mm"``.

    Returns
    -------
    Affine
        From moving to fixed, on z, y, x in um. No format carries a covariance, so that its error is unknown.

    Raises
    ------
    FileReadError
        If the file is damaged, of another kind, or holds a transform that is not linear.
    UnitError
        If a unit is needed, or given for a file that says its own.
    """
    path = Path(path)
    _require(path)
    if path.suffix.lower() == ".json":
        _refuse_unit(path, unit)
        return Affine(ngff.read(path))
    return Affine(_scaled(itk.read(path), _factor(path, unit))).inverse()


def write_transform(transform: Affine, path: str | PathLike[str], *, unit: str | None = None) -> None:
    """Write a transform for another program; its covariance, which no format carries, stays behind.

    Parameters
    ----------
    transform : Affine
    path : path-like
        Ends in ``.tfm``, ``.txt`` or ``.h5`` for ITK, SimpleITK, elastix and Slicer, in ``.json`` for OME-NGFF.
    unit : str, optional
        Of the images that ITK will apply it to; in OME-NGFF it is the micrometre.
    """
    path = Path(path)
    if not isinstance(transform, Affine):
        raise RegistrationError(f"these files hold affine transforms; received {type(transform).__name__}")
    if path.suffix.lower() == ".json":
        _refuse_unit(path, unit)
        _write_text(path, ngff.text_of(transform.matrix))
        return
    if path.suffix.lower() not in _TEXT + _HDF5:
        raise StoreError(f"{path}: transforms are written as .tfm, .txt, .h5 (ITK) or .json (OME-NGFF)")
    matrix = _scaled(transform.inverse().matrix, 1.0 / _factor(path, unit))
    if path.suffix.lower() in _HDF5:
        _write(path, lambda beside: itk.write_hdf5(matrix, beside))
    else:
        _write_text(path, itk.text_of(matrix))


def read_landmarks(path: str | PathLike[str], *, unit: str | None = None) -> xr.Dataset:
    """Read landmarks of another program.

    Parameters
    ----------
    path : path-like
        ``.csv`` or ``.json`` of BigWarp, ``.fcsv`` or ``.mrk.json`` of 3D Slicer.
    unit : str, optional
        Of a file of BigWarp, which does not say it: that of its images.

    Returns
    -------
    Dataset, dims (point, axis)
        ``moving`` and ``fixed`` of BigWarp, or ``points`` of Slicer, along z, y, x in um, whose values
        `fusion.register_landmarks` takes; names along ``point``. Pairs that are not active or not set are left out, and
        the attribute ``left_out`` counts them.

    Raises
    ------
    FileReadError
        If the file is damaged or of another kind, or does not name its axes.
    UnitError
        If a unit is needed, or given for a file that says its own.
    """
    path = Path(path)
    _require(path)
    name = path.name.lower()
    if name.endswith(".csv"):
        marks = landmarks.read_bigwarp_csv(path, _factor(path, unit))
    elif name.endswith(".fcsv"):
        _refuse_unit(path, unit)
        marks = landmarks.read_fcsv(path)
    elif name.endswith(".json"):
        content = _json(path)
        if "markups" in content:
            _refuse_unit(path, unit)
            marks = landmarks.read_markups(path, content)
        else:
            marks = landmarks.read_bigwarp_json(path, content, _factor(path, unit))
    else:
        raise FileReadError(path, "landmarks are in .csv, .json (BigWarp), .fcsv or .mrk.json (Slicer)")
    variables = {side: (("point", "axis"), values, {"units": "um"}) for side, values in marks.sides.items()}
    read = xr.Dataset(variables, {"axis": list("zyx"), "point": marks.names}, {"left_out": marks.left_out})
    return provenance.record(read, "fusion.read_landmarks", {"unit": unit}, inputs=[path])


def write_landmarks(points: xr.Dataset, path: str | PathLike[str], *, unit: str | None = None) -> None:
    """Write landmarks for another program.

    Parameters
    ----------
    points : Dataset, dims (point, axis)
        As `read_landmarks` returns them: ``moving`` and ``fixed`` for BigWarp, ``points`` for Slicer.
    path : path-like
        Ends in ``.csv`` or ``.json`` for BigWarp, in ``.fcsv`` or ``.mrk.json`` for Slicer, which takes LPS and mm.
    unit : str, optional
        Of the images in BigWarp.
    """
    path = Path(path)
    name = path.name.lower()
    names = [str(label) for label in points["point"].values] if "point" in points.coords else []
    slicer = name.endswith((".fcsv", ".mrk.json"))
    if not slicer and not name.endswith((".csv", ".json")):
        raise StoreError(f"{path}: landmarks are written as .csv, .json (BigWarp), .fcsv or .mrk.json (Slicer)")
    needed = ("points",) if slicer else _SIDES
    if missing := [side for side in needed if side not in points]:
        raise StoreError(f"{path}: the landmarks have no variable {', '.join(missing)}")
    sides = {side: np.asarray(points[side].sel(axis=list("zyx")).values, dtype=float) for side in needed}
    names = names or [f"Pt-{number}" for number in range(len(sides[needed[0]]))]
    if slicer:
        _refuse_unit(path, unit)
        text = (landmarks.fcsv if name.endswith(".fcsv") else landmarks.markups)(sides["points"], names)
    else:
        write = landmarks.bigwarp_csv if name.endswith(".csv") else landmarks.bigwarp_json
        text = write(sides, names, _factor(path, unit))
    _write_text(path, text)


def _factor(path: Path, unit: str | None) -> float:
    if unit is None:
        raise UnitError(f"{path}: the file does not say its unit of length; give unit=, for example 'mm' or 'um'")
    return convert_factor(unit, "um")


def _refuse_unit(path: Path, unit: str | None) -> None:
    if unit is not None:
        raise UnitError(f"{path}: the file says its own unit of length; leave unit= out")


def _scaled(matrix: Array, factor: float) -> Array:
    """Return a matrix whose shift is in another unit; the linear part has none."""
    scaled = matrix.copy()
    scaled[:3, 3] *= factor
    return scaled


def _require(path: Path) -> None:
    if not path.is_file():
        raise FileReadError(path, "there is no such file")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileReadError(path, f"the file is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise FileReadError(path, "the file holds no landmarks of BigWarp or Slicer")
    return content


def _write_text(path: Path, text: str) -> None:
    _write(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Let a file be written beside the path, and put it there when it is complete."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror or error}") from error
