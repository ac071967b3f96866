"""Voxels whose class a person has said: painted in a label image, or points."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import check, kind, label_names, spacing, spatial_dims, title
from fusion.errors import ConventionError, DataError
from fusion.model import require_lengths

Array = npt.NDArray[Any]
Annotation = xr.Dataset | Sequence[xr.Dataset]
UNKNOWN: Final = -1
"""The label of a voxel whose class nobody has said."""
_OPEN: Final = (UNKNOWN, 0)


@dataclass(frozen=True)
class Marks:
    """Voxels (n, dims) of an image as indices, the label of each, and what the labels are called.

    Parameters
    ----------
    indices : ndarray (n, dims)
    labels : ndarray (n,)
    names : dict of int to str
        For each label that may occur, ascending.
    """

    indices: Array
    labels: Array
    names: dict[int, str]

    @property
    def sha256(self) -> str:
        """What tells this annotation from any other."""
        ordered = np.column_stack([self.indices, self.labels]).astype("<i8")
        return hashlib.sha256(ordered.tobytes() + repr(self.names).encode()).hexdigest()


def marks_on(image: xr.DataArray, annotation: Annotation) -> Marks:
    """Return the voxels of an image that label images or points annotate.

    A label is a class if ``flag_values`` names it. -1, and 0 where it does not name it, is a voxel that
    nobody has annotated.

    Raises
    ------
    ConventionError
        If there is no variable of labels, or two annotations call one label by different names.
    DataError
        If a value is no label, or a voxel lies outside the image.
    """
    parts = [annotation] if isinstance(annotation, xr.Dataset) else list(annotation)
    if not parts:
        raise DataError("annotation is empty; give a label image, or points with the variable 'label'")
    found = [_marks(image, part) for part in parts]
    names: dict[int, str] = {}
    for part in found:
        for label, name in part.names.items():
            if names.setdefault(label, name) != name:
                raise ConventionError([f"annotation: label {label} is called {names[label]!r} and {name!r}"])
    indices, labels = (np.concatenate([getattr(part, key) for part in found]) for key in ("indices", "labels"))
    return Marks(indices, labels, dict(sorted(names.items())))


def label_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the one variable of a dataset that holds labels.

    Raises
    ------
    ConventionError
        If there is none, or several.
    """
    labels = [array for array in check(ds).data_vars.values() if kind(array) == "label"]
    if len(labels) != 1:
        names = [str(array.name) for array in labels]
        advice = "one is needed, with flag_values and flag_meanings, e.g. ds['label'].attrs.update(flag_values=[1, 2])"
        raise ConventionError([f"{title(ds)} has the labels {names}; {advice}"])
    return labels[0]


def names_of(labels: xr.DataArray) -> dict[int, str]:
    """Return what each label is called, without -1, which is no class."""
    return {flag: name for flag, name in label_names(labels).items() if flag != UNKNOWN}


def _marks(image: xr.DataArray, part: xr.Dataset) -> Marks:
    labels = label_of(part)
    require_lengths(part, "compared with an image")
    names = names_of(labels)
    values = np.asarray(labels.values)
    wrong = set(np.unique(values).tolist()) - set(names) - set(_OPEN)
    if wrong:
        raise DataError(f"{title(part)}: the values {sorted(wrong)} are no labels; flag_values are {list(names)}")
    chosen = np.isin(values, list(names))
    return Marks(voxels_at(image, part, labels, chosen), values[chosen].astype(np.int64), names)


def voxels_at(image: xr.DataArray, part: xr.Dataset, labels: xr.DataArray, chosen: Array) -> Array:
    """Return the indices (n, dims) in an image of those points or pixels of a dataset that were chosen.

    Raises
    ------
    DataError
        If one lies outside the image, or the dataset does not say where along an axis.
    """
    where = np.nonzero(chosen)
    columns = []
    for dim in spatial_dims(image):
        if dim not in part.coords:
            raise DataError(
                f"{title(part)} has no {dim}, and {image.name} has; give it, e.g. ds.assign_coords({dim}=...)"
            )
        position = part[dim]
        axis = labels.dims.index(position.dims[0]) if position.ndim else None
        positions = np.full(len(where[0]), float(position)) if axis is None else position.values[where[axis]]
        columns.append(_nearest(image, dim, positions, title(part)))
    return np.stack(columns, axis=1) if columns else np.zeros((len(where[0]), 0), np.int64)


def _nearest(image: xr.DataArray, dim: str, positions: Array, name: str) -> Array:
    centres = image[dim].values
    step = spacing(image[dim])
    half = np.inf if step is None else step / 2 * (1 + 1e-3)
    index: Array = image.indexes[dim].get_indexer(positions, method="nearest", tolerance=half)
    far = index < 0
    if far.any():
        raise DataError(
            f"{name}: {int(far.sum())} of {len(far)} annotated positions lie outside {image.name} along {dim}, the "
            f"first at {positions[far][0]:.6g} um; {dim} runs from {centres[0]:.6g} to {centres[-1]:.6g} um"
        )
    return index
