"""Single objects of a class, told apart where they touch."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.axes import length
from fusion.conventions import check, spatial_dims, title
from fusion.errors import DataError
from fusion.model import like, require_lengths
from volumes.segmentation.annotation import label_of, names_of
from volumes.segmentation.image import steps_of

Array = npt.NDArray[Any]
_MOST: Final = 1_000_000


def instances(ds: xr.Dataset, name: str, *, neck: str | float | None = None, smallest: int = 1) -> xr.Dataset:
    """Tell the single objects of one class apart.

    Parameters
    ----------
    ds : Dataset
        With one variable of labels, such as the result of `volumes.segment`. It is computed if it is lazy: an object
        may reach anywhere.
    name : str
        The class.
    neck : str or float, optional
        Two parts are two objects where the way from one to the other is narrower, by more than twice this length, than
        the narrower of the two. Left out, it is the longest step between voxels, below which a neck cannot be seen.
    smallest : int
        Objects of fewer voxels are left out.

    Returns
    -------
    Dataset
        ``instance`` (spatial dims): labels 0 for ``background`` and ``object_1``, ``object_2``, ... in the order of
        their first voxel. `volumes.shapes` measures them.

    Raises
    ------
    ConventionError
        If there is no variable of labels, or several.
    DataError
        If there is no such class, no voxel is of it, an axis is not uniform, or a parameter is out of range.
    UnitError
        If the pixel size is not known.

    Notes
    -----
    Watershed of the distance to the background, from its maxima that are higher by `neck` than the way to the next:
    F. Meyer, Signal Process. 38, 113 (1994); P. Soille, Morphological Image Analysis (Springer, 2003), section 6.3.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> y, x = np.mgrid[:30, :60]
    >>> cell = (np.hypot(y - 15, x - 20) < 11) | (np.hypot(y - 15, x - 39) < 11)
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "resin cell"}
    >>> ds = dataset({"label": (("y", "x"), cell.astype(int), flags)}, {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)},
    ...              name="pair")
    >>> found = instances(ds, "cell")["instance"]
    >>> found[15, [0, 20, 39]].values
    array([0, 1, 2], dtype=int32)
    """
    require_lengths(check(ds), "measured")
    label = label_of(ds).compute()
    flags = {text: flag for flag, text in names_of(label).items()}
    if name not in flags:
        raise DataError(f"{title(ds)}: there is no class {name!r}; there are {list(flags)}")
    if smallest < 1:
        raise DataError(f"smallest is a positive number of voxels; received {smallest!r}")
    member = label.values == flags[name]
    if not member.any():
        raise DataError(f"{title(ds)}: no voxel is of the class {name!r}")
    steps = steps_of(label)
    depth = max(steps.values()) if neck is None else length(neck)
    sampling = [steps.get(dim, max(steps.values())) for dim in spatial_dims(label)]
    numbers = _without_small(_parted(member, sampling, depth), smallest)
    count = int(numbers.max())
    if count > _MOST:
        raise DataError(f"{title(ds)}: {count} objects are too many; smooth the segmentation, or give smallest=")
    meanings = " ".join(["background", *(f"object_{k}" for k in range(1, count + 1))])
    attrs = {"flag_values": np.arange(count + 1, dtype=np.int32), "flag_meanings": meanings}
    result = like(ds, {"instance": (spatial_dims(label), numbers, {"long_name": f"objects of {name}", **attrs})})
    return provenance.record(result, "volumes.instances", {"name": name, "neck": depth, "smallest": smallest})


# The distance to the background has a maximum in the middle of each convex part and a saddle in each neck. Its maxima
# that stand out by less than `depth` are levelled by reconstruction under the distance lowered by `depth`: rough
# borders make many of them. From those that are left the distance is flooded downwards, and parts meet in their necks.
def _parted(member: Array, sampling: list[float], depth: float) -> Array:
    """Return the number of the object of each voxel, 0 outside."""
    from scipy.ndimage import distance_transform_edt, generate_binary_structure, label
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    inside = np.pad(member, 1, mode="edge")  # the edge of the field is no border of an object
    cut = tuple(slice(1, -1) for _ in member.shape)
    distance = distance_transform_edt(inside, sampling)[cut] if not member.all() else np.ones(member.shape)
    levelled = reconstruction(np.maximum(distance - depth, 0.0), distance)
    touching = generate_binary_structure(member.ndim, member.ndim)
    peaks = local_maxima(levelled, connectivity=member.ndim) & member
    parts, _ = label(member)
    # a part too thin to stand out has no peak left, and is one object
    bare = np.setdiff1d(np.unique(parts[member]), np.unique(parts[peaks]))
    seeds, _ = label(peaks | np.isin(parts, bare), touching)
    numbers: Array = watershed(-distance, seeds, mask=member)
    return numbers


def _without_small(numbers: Array, smallest: int) -> Array:
    found, first, sizes = np.unique(numbers, return_index=True, return_counts=True)
    kept = (found > 0) & (sizes >= smallest)
    # number by the first voxel of each, so that the order does not depend on that of the seeds
    ordered = found[kept][np.argsort(first[kept])]
    new = np.zeros(found[-1] + 1, np.int32)
    new[ordered] = np.arange(1, ordered.size + 1)
    result: Array = new[numbers]
    return result
