"""Voxels for a person to judge: at random, or where an annotation would teach most."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.axes import length
from fusion.conventions import check, kind, spatial_dims, title
from fusion.errors import ConventionError, DataError
from fusion.frames import get_pose
from fusion.model import Axis, dataset, require_lengths
from volumes.segmentation.annotation import UNKNOWN
from volumes.segmentation.image import steps_of

Array = npt.NDArray[Any]
By = Literal["entropy", "disagreement"]
SAMPLING = "sampling"


def random_points(ds: xr.Dataset, n: int, *, seed: int = 0) -> xr.Dataset:
    """Choose voxels at random, for a person to judge; each voxel is as likely as any other.

    Parameters
    ----------
    ds : Dataset
        An image or volume on uniform axes in um; the result of `volumes.segment` lends its classes to the points.
    n : int
        Number of points.
    seed : int
        Of the random numbers.

    Returns
    -------
    Dataset
        ``label`` (point), which is -1 until somebody sets it to one of ``flag_values``, with coordinates z, y, x.
        Judged, they are what `volumes.phase_fraction` and `volumes.segment` take; a point that nobody can judge stays
        -1.

    Raises
    ------
    DataError
        If an axis is not uniform, or `n` is not from 1 to the number of voxels.
    UnitError
        If the pixel size is not known.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> axes = {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)}
    >>> ds = dataset({"sem": (("y", "x"), np.zeros((20, 30)))}, axes, name="sem", cell_methods="mean")
    >>> points = random_points(ds, 3)
    >>> points["label"].values, bool((points["y"] <= 0.095).all())
    (array([-1, -1, -1], dtype=int32), True)
    """
    shape = _shape(ds)
    size = int(np.prod(shape))
    if not 1 <= n <= size:
        raise DataError(f"n is a number of voxels from 1 to {size}; received {n!r}")
    chosen = np.random.default_rng(seed).choice(size, n, replace=False)
    points = _points(ds, np.stack(np.unravel_index(chosen, shape), axis=1), "random")
    return provenance.record(points, "volumes.random_points", {"n": n, "seed": seed}, parents=[ds])


# The most uncertain voxels lie side by side along one edge, and one of them says what all would. Voxels are drawn with
# probability proportional to their score instead, by the exponential race (the n smallest of e / score with e from
# the exponential distribution), and a draw nearer than `apart` to an earlier one is passed over: a batch is spread over
# all that is unclear. Sampling by power of the score: A. Kirsch et al., arXiv:2106.12059 (2021).
def suggest(
    result: xr.Dataset, n: int = 20, *, by: By = "entropy", apart: str | float | None = None, seed: int = 0
) -> xr.Dataset:
    """Suggest which voxels to annotate next: those whose class is least sure.

    Parameters
    ----------
    result : Dataset
        Of `volumes.segment`.
    n : int
        Number of points.
    by : {"entropy", "disagreement"}
        What a voxel is chosen by: the entropy of its probabilities, or how far the trees disagree.
    apart : str or float, optional
        Least distance between two points, a length; left out, sixteen times the finest step.
    seed : int
        Of the random numbers: a voxel is chosen with a probability proportional to its score squared.

    Returns
    -------
    Dataset
        ``label`` (point), -1 until somebody sets it, with coordinates z, y, x; for ``volumes.segment(ds, [painted,
        points])``. Fewer than `n` where no more are so far apart. They are no random sample: `volumes.phase_fraction`
        refuses them.

    Raises
    ------
    ConventionError
        If this is no result of `volumes.segment`.
    DataError
        If no class is in doubt anywhere, or a parameter is out of range.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> share = np.zeros((20, 30)); share[:, 12:14] = 0.5
    >>> axes = {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0), "component": ["resin", "cell"]}
    >>> both = np.stack([1 - share, share], axis=-1)
    >>> flags = {"flag_values": [1, 2], "flag_meanings": "resin cell"}
    >>> result = dataset({"label": (("y", "x"), (share > 0.4) + 1, flags),
    ...                   "probability": (("y", "x", "component"), both)}, axes, name="cells", cell_methods="mean")
    >>> points = suggest(result, 3, apart="10 nm")
    >>> bool(points["x"].isin([0.06, 0.065]).all()), points.sizes["point"]
    (True, 3)
    """
    require_result(result)
    if by not in get_args(By):
        raise DataError(f"by is one of {', '.join(get_args(By))}; received {by!r}")
    if n < 1:
        raise DataError(f"n is a positive number of points; received {n!r}")
    label = result["label"]
    steps = steps_of(label)
    least = 16 * min(steps.values()) if apart is None else length(apart)
    score = _entropy(result) if by == "entropy" else np.asarray(result[by].values, dtype=np.float64)
    score = np.nan_to_num(score).ravel() ** 2
    doubtful = np.flatnonzero(score > 0)
    if not doubtful.size:
        raise DataError(f"{title(result)}: no class is in doubt anywhere; there is nothing to suggest")
    waits = np.random.default_rng(seed).exponential(size=doubtful.size) / score[doubtful]
    indices = np.stack(np.unravel_index(doubtful[np.argsort(waits)], label.shape), axis=1)
    sizes = np.array([steps.get(dim, 1.0) for dim in spatial_dims(label)])
    points = _points(result, _spread(indices, sizes, least, n), "suggested")
    parameters = {"n": n, "by": by, "apart": least, "seed": seed}
    return provenance.record(points, "volumes.suggest", parameters, parents=[result])


def require_result(result: xr.Dataset) -> None:
    """Refuse what is no result of `volumes.segment`.

    Raises
    ------
    ConventionError
    """
    check(result)
    sound = {"label", "probability"} <= set(result.data_vars) and "component" in result["probability"].dims
    if not sound or kind(result["label"]) != "label":
        held = list(map(str, result.data_vars))
        needed = "label and probability over component are needed, as volumes.segment gives them"
        raise ConventionError([f"{title(result)} has {held}; {needed}"])


def _shape(ds: xr.Dataset) -> tuple[int, ...]:
    require_lengths(check(ds), "sampled")
    dims = spatial_dims(ds)
    if not dims:
        raise DataError(f"{title(ds)} has no spatial axis; its dims are {dict(ds.sizes)}")
    grid = xr.DataArray(np.broadcast_to(0.0, [ds.sizes[dim] for dim in dims]), {d: ds[d] for d in dims}, dims)
    steps_of(grid.rename(title(ds)))
    return grid.shape


def _points(ds: xr.Dataset, indices: Array, sampling: str) -> xr.Dataset:
    """Return voxels (n, dims) of a dataset as points that nobody has judged."""
    dims = spatial_dims(ds)
    axes = {dim: Axis("um", values=ds[dim].values[indices[:, k]]) for k, dim in enumerate(dims)}
    if "z" in ds.coords and "z" not in dims and ds["z"].ndim == 0:
        axes["z"] = Axis("um", values=np.full(len(indices), float(ds["z"])))
    labels = [array for array in ds.data_vars.values() if kind(array) == "label"]
    known = labels[0].attrs if len(labels) == 1 else {"flag_values": np.array([UNKNOWN], np.int32)}
    flags = {key: known[key] for key in ("flag_values", "flag_meanings") if key in known}
    label = ("point", np.full(len(indices), UNKNOWN, np.int32), {"long_name": "class as judged", **flags})
    pose, frame = get_pose(ds)
    attrs = {SAMPLING: sampling}
    return dataset({"label": label}, axes, name=f"points of {title(ds)}", pose=pose, frame=frame, attrs=attrs)


def _entropy(result: xr.Dataset) -> Array:
    shares = result["probability"].transpose(*spatial_dims(result["label"]), "component").values
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy: Array = -(shares.astype(np.float64) * logs).sum(axis=-1)
    return entropy


def _spread(indices: Array, sizes: Array, least: float, n: int) -> Array:
    """Return the first `n` of the voxels that are at least so far from those taken before."""
    taken: list[Array] = []
    for index in indices:
        if all(np.linalg.norm((index - other) * sizes) >= least for other in taken):
            taken.append(index)
            if len(taken) == n:
                break
    return np.array(taken)
