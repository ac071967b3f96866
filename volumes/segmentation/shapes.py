"""Sizes and shapes of single objects, in um, um² and um³."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.axes import length
from fusion.conventions import spatial_dims, stderr_name, title
from fusion.errors import DataError
from fusion.frames import get_pose
from fusion.model import Axis, dataset, require_lengths
from volumes.segmentation.annotation import label_of, names_of
from volumes.segmentation.image import steps_of

Array = npt.NDArray[Any]
_BLUR: Final = 0.7
"""Width of the Gaussian that takes the steps of voxels off a border, in units of the longest step."""


def shapes(objects: xr.Dataset, *, border_error: str | float | None = None) -> xr.Dataset:
    """Measure each object of a label image.

    Parameters
    ----------
    objects : Dataset
        With one variable of labels over two or three axes, such as that of `volumes.instances`; what is called
        ``background`` is left out.
    border_error : str or float, optional
        Standard error, a length, of where a border lies, as for all of the border alike: a threshold that is a little
        too low, or a probe that blurs.

    Returns
    -------
    Dataset
        A table over ``point`` with the coordinates z, y, x of the centre of each object in um. Of a volume: ``volume``
        (um³), ``surface`` (um²); of an image: ``area`` (um²), ``perimeter`` (um). Of both: ``equivalent_diameter``
        (um), that of the sphere or disk as large; ``elongation``, the longest over the shortest axis of the ellipsoid
        or ellipse with the same second moments; ``object``, the label; and ``at_edge``, 1 where the object
        touches the edge of the field and is therefore cut off.

        Each measure has a standard error: what moving the border by `border_error` changes. Without it they are NaN,
        because labels say nothing of how sure a border is.

    Raises
    ------
    ConventionError
        If there is no variable of labels, or several.
    DataError
        If there is no object, an axis is not uniform, or there are fewer than two axes.
    UnitError
        If the pixel size is not known.

    Notes
    -----
    Volumes are numbers of voxels. Surfaces are those of marching cubes (W. E. Lorensen and H. E. Cline, SIGGRAPH
    Comput. Graph. 21, 163, 1987) through a slightly blurred object: through the voxels themselves they would be 8 % too
    large. NaN where an object is too small to have one.

    Examples
    --------
    >>> y, x = np.mgrid[:40, :40]
    >>> disk = (np.hypot(y - 20, x - 19) < 12).astype(int)
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "background object_1"}
    >>> ds = dataset({"instance": (("y", "x"), disk, flags)}, {"y": Axis("nm", 10.0), "x": Axis("nm", 10.0)},
    ...              name="disk")
    >>> found = shapes(ds, border_error="1 nm")
    >>> found["y"].values.round(3), found["equivalent_diameter"].values.round(2)
    (array([0.2]), array([0.24]))
    >>> found["equivalent_diameter_stderr"].values
    array([0.002])
    """
    require_lengths(objects, "measured")
    label = label_of(objects).compute()
    dims = spatial_dims(label)
    steps = steps_of(label)
    if len(steps) < 2 or len(steps) != len(dims):
        raise DataError(
            f"{title(objects)}: shapes have two or three axes; those of {label.name} are {dict(label.sizes)}"
        )
    names = sorted(flag for flag, text in names_of(label).items() if text != "background")
    found = {flag: where for flag, where in _boxes(label.values, names).items() if where is not None}
    if not found:
        raise DataError(f"{title(objects)}: there is no object; the labels are {names_of(label)}")
    sizes = np.array([steps[dim] for dim in dims])
    rows = [_measured(label.values, flag, box, sizes) for flag, box in found.items()]
    sigma = np.nan if border_error is None else length(border_error)
    table = {key: np.array([row[key] for row in rows]) for key in rows[0] if key != "centre"}
    centres = np.array([row["centre"] for row in rows])
    axes = {dim: Axis("um", values=float(label[dim][0]) + centres[:, k]) for k, dim in enumerate(dims)}
    pose, frame = get_pose(objects)
    variables = _named(table, _errors(table, sigma, len(dims)), len(dims), list(found))
    kept = {key: value for key, value in objects.attrs.items() if key not in ("Conventions", "title")}
    ds = dataset(variables, axes, name=f"shapes of {title(objects)}", pose=pose, frame=frame, attrs=kept)
    return provenance.record(ds, "volumes.shapes", {"border_error": None if border_error is None else sigma})


def _boxes(values: Array, flags: list[int]) -> dict[int, tuple[slice, ...] | None]:
    """Return the box around each label."""
    from scipy.ndimage import find_objects

    # labels may be any numbers; their ranks are small and positive
    ranks = np.searchsorted(flags, values) + 1
    ranks = np.where(np.isin(values, flags), ranks, 0)
    return dict(zip(flags, find_objects(ranks, len(flags)), strict=True))


def _measured(values: Array, flag: int, box: tuple[slice, ...], sizes: Array) -> dict[str, Any]:
    member = values[box] == flag
    at = np.argwhere(member) * sizes
    corner = np.array([part.start for part in box]) * sizes
    edge = any(part.start == 0 or part.stop == size for part, size in zip(box, values.shape, strict=True))
    lengths = _axes(at, sizes)
    return {
        "centre": at.mean(axis=0) + corner,
        "content": len(at) * float(np.prod(sizes)),
        "border": _border(member, sizes),
        "longest": lengths[-1],
        "shortest": lengths[0],
        "at_edge": int(edge),
    }


# Half axes of the ellipse or ellipsoid with the covariance of the voxels: that of a ball of n axes and radius r is
# r² / (n + 2), and each voxel adds the variance step² / 12 of its own extent, without which a line would have no width.
def _axes(at: Array, sizes: Array) -> Array:
    """Return the half axes, ascending."""
    count = len(sizes)
    covariance = np.atleast_2d(np.cov(at.T, bias=True)) + np.diag(sizes**2 / 12.0)
    half: Array = np.sqrt((count + 2) * np.linalg.eigvalsh(covariance))
    return half


# A triangulation through the steps of voxels is as rough as they are, 8 % too large at any resolution. A Gaussian of
# 0.7 steps takes them off and moves a border of radius R inwards by only about sigma² / R.
def _border(member: Array, sizes: Array) -> float:
    """Return the surface in um² or the perimeter in um; NaN where the object is too small to have one."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import find_contours, marching_cubes, mesh_surface_area

    sigma = _BLUR * sizes.max() / sizes
    rim = np.ceil(4.0 * sigma).astype(int) + 1
    smooth = gaussian_filter(np.pad(member, [(n, n) for n in rim]).astype(np.float32), sigma)
    if smooth.max() <= 0.5:
        return float("nan")
    if member.ndim == 2:
        lines = find_contours(smooth, 0.5)
        return float(sum(np.linalg.norm(np.diff(line * sizes, axis=0), axis=1).sum() for line in lines))
    corners, faces, _, _ = marching_cubes(smooth, 0.5, spacing=tuple(sizes))
    return float(mesh_surface_area(corners, faces))


# A border that moves outwards by s everywhere adds s times the surface S to a volume, 2 s to every diameter, and to the
# surface what it adds to that of the sphere as large, 2 s S / R; to a perimeter 2 pi s. Half axes a and b both grow by
# s, so that a / b changes by s |b - a| / b².
def _errors(table: Mapping[str, Array], sigma: float, count: int) -> dict[str, Array]:
    radius = _diameter(table["content"], count) / 2.0
    border = table["border"]
    shortest, longest = table["shortest"], table["longest"]
    ones = np.ones_like(border)
    return {
        "content": sigma * border,
        "border": sigma * (2.0 * border / radius if count == 3 else 2.0 * np.pi * ones),
        "diameter": 2.0 * sigma * ones,
        "elongation": sigma * np.abs(longest - shortest) / shortest**2,
    }


def _diameter(content: Array, count: int) -> Array:
    diameter: Array = 2.0 * (np.cbrt(3.0 * content / (4.0 * np.pi)) if count == 3 else np.sqrt(content / np.pi))
    return diameter


def _named(table: Mapping[str, Array], errors: Mapping[str, Array], count: int, flags: list[int]) -> dict[str, Any]:
    content, border = ("volume", "surface") if count == 3 else ("area", "perimeter")
    values = {
        content: (table["content"], errors["content"], f"um^{count}"),
        border: (table["border"], errors["border"], "um^2" if count == 3 else "um"),
        "equivalent_diameter": (_diameter(table["content"], count), errors["diameter"], "um"),
        "elongation": (table["longest"] / table["shortest"], errors["elongation"], "1"),
    }
    variables: dict[str, Any] = {
        "object": ("point", np.array(flags, np.int64), {"units": "1", "long_name": "label of the object"})
    }
    for name, (value, error, unit) in values.items():
        attrs = {"units": unit, "long_name": name.replace("_", " ")}
        variables[name] = ("point", value, attrs)
        variables[stderr_name(name)] = (
            "point",
            error,
            {**attrs, "long_name": f"standard error of {attrs['long_name']}"},
        )
    touching = {"units": "1", "long_name": "whether the object is cut off by the edge of the field"}
    return variables | {"at_edge": ("point", table["at_edge"], touching)}
