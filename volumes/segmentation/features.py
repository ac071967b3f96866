"""What a voxel and its neighbourhood look like, at several scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.axes import length
from fusion.conventions import cell_methods, spatial_dims
from fusion.errors import DataError
from fusion.model import like
from fusion.progress import Progress
from volumes.segmentation.image import blockwise, computed, image_of, inner, steps_of

Array = npt.NDArray[Any]
_UNEVEN: Final = 3.0
"""How many times as far apart as their pixels sections are from which they are taken one by one."""
_REACH: Final = 3.0
"""Standard deviations at which a Gaussian is cut off."""
_TENSOR: Final = 2.0
"""Width of the window of the structure tensor, in scales."""
_DOUBLINGS: Final = {1: 5, 2: 5, 3: 4}


@dataclass(frozen=True)
class FeatureSet:
    """Which features: at which scales, and over which axes a neighbourhood extends.

    Parameters
    ----------
    scales : tuple of float
        Standard deviations in um.
    dims : tuple of str
        z, y, x, or the axes of a section.
    """

    scales: tuple[float, ...]
    dims: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """What each feature is, with its scale."""
        of_tensors = [f"{tensor} {k + 1}" for tensor in ("Hessian", "structure") for k in range(len(self.dims))]
        return [f"{kind} {scale:.4g} um" for scale in self.scales for kind in ("mean", "gradient", *of_tensors)]

    def halo(self, steps: Mapping[str, float]) -> dict[str, int]:
        """Return how many voxels the widest neighbourhood reaches, along each of its axes."""
        return {dim: _rim(max(self.scales) / steps[dim]) for dim in self.dims}

    def of_block(self, block: Array, dims: tuple[str, ...], steps: Mapping[str, float]) -> Array:
        """Return the features (spatial..., feature) of a block without its rim; NaN where the block is NaN."""
        seen = np.isfinite(block)
        values = np.where(seen, block, np.float32(0.0)).astype(np.float32, copy=False)
        widest = self.halo(steps)
        rims = tuple(widest.get(dim, 0) for dim in dims)
        # rows of features lie together in memory, as the trees read them
        out = np.empty((*inner(seen, rims).shape, len(self.names)), np.float32)
        each = len(self.names) // len(self.scales)
        for k, scale in enumerate(self.scales):
            # a small scale needs a narrow rim: the rest of the block is not filtered for it
            own = tuple(_rim(scale / steps[dim]) if dim in widest else 0 for dim in dims)
            cut = tuple(rim - mine for rim, mine in zip(rims, own, strict=True))
            found = _at_scale(inner(values, cut), inner(seen, cut), [steps.get(d) for d in dims], scale, widest, dims)
            for number, feature in enumerate(found):
                out[..., k * each + number] = inner(feature, own)
        out[~inner(seen, rims)] = np.nan
        return out


def features(
    ds: xr.Dataset,
    *,
    variable: str | None = None,
    scales: Sequence[str | float] | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Describe each voxel by its neighbourhood at several scales: brightness, edges, blobs, ridges and texture.

    Parameters
    ----------
    ds : Dataset
        With an image or volume on uniform axes in um.
    variable : str, optional
        The image, where the dataset has several.
    scales : sequence of str or float, optional
        Standard deviations of the Gaussians as lengths, such as ``"20 nm"``; a bare number means um. Left out, they
        are 1, 2, 4, 8 (and 16, except over three axes) times the finest step.
    progress : callable, optional
        Called with the share that is done, from 0 to 1, where the dataset is not lazy.

    Returns
    -------
    Dataset
        ``feature`` (spatial dims, channel), in the unit of the image and lazy if it was, with the names of the
        features on ``channel``. At each scale σ: the mean in a Gaussian window; the gradient's magnitude times σ; the
        eigenvalues of the Hessian times σ², descending; and the square roots of those of the structure tensor times σ²,
        in a window of 2 σ. σ is a length, so that anisotropic voxels and other magnifications have the same features.
        Sections that lie at least three times as far apart as their pixels are taken one by one. NaN where the image is
        NaN; a neighbourhood leaves out what is NaN.

        They are computed from the image and have no error of their own: that of the image is not carried along.

    Raises
    ------
    ConventionError
        If there is no image, or several could be meant.
    DataError
        If an axis is not uniform, or a scale is smaller than half of the finest step.
    UnitError
        If the pixel size is not known, or a scale is no length.

    Notes
    -----
    The features of ilastik: S. Berg et al., Nat. Methods 16, 1226 (2019). Scale normalisation: T. Lindeberg, Int. J.
    Comput. Vis. 30, 79 (1998). Normalised convolution beside NaN: H. Knutsson and C.-F. Westin, CVPR (1993).

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> image = np.zeros((9, 9)); image[4, 4] = 1.0
    >>> ds = dataset({"sem": (("y", "x"), image)}, {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)}, name="spot",
    ...              cell_methods="mean")
    >>> found = features(ds, scales=["10 nm"])["feature"]
    >>> found["channel"].values.tolist()
    ['mean 0.01 um', 'gradient 0.01 um', 'Hessian 1 0.01 um', 'Hessian 2 0.01 um', 'structure 1 0.01 um',
     'structure 2 0.01 um']
    >>> float(found.sel(channel="gradient 0.01 um")[4, 4]), bool(found.sel(channel="Hessian 1 0.01 um")[4, 4] < 0)
    (0.0, True)
    """
    image = image_of(ds, variable)
    chosen = feature_set(image, scales)
    lazy = feature_blocks(image, chosen)
    data = lazy if image.chunks is not None else computed([lazy], "features", progress)[0]
    dims = spatial_dims(image)
    attrs = {"units": image.attrs.get("units", "1"), "long_name": f"features of {image.name}"}
    channel = xr.DataArray(chosen.names, dims="channel", attrs={"units": "1", "long_name": "feature"})
    array = xr.DataArray(data, coords={"channel": channel}, dims=(*dims, "channel"), attrs=attrs)
    result = like(ds, {"feature": array.assign_attrs(cell_methods(dims, "point"))})
    parameters = {"variable": str(image.name), "scales": list(chosen.scales), "dims": list(chosen.dims)}
    return provenance.record(result, "volumes.features", parameters)


def feature_set(image: xr.DataArray, scales: Sequence[str | float] | None) -> FeatureSet:
    """Return the features that suit an image: by default five scales of its pixels, section by section if need be.

    Raises
    ------
    DataError
        If an axis is not uniform, there is none, or a scale is smaller than half of the finest step.
    """
    steps = steps_of(image)
    if not steps:
        raise DataError(f"{image.name}: one voxel has no neighbourhood; its dims are {dict(image.sizes)}")
    across = [step for dim, step in steps.items() if dim != "z"]
    apart = "z" in steps and bool(across) and steps["z"] >= _UNEVEN * min(across)
    dims = tuple(dim for dim in steps if dim != "z" or not apart)
    finest = min(steps[dim] for dim in dims)
    if scales is None:
        return FeatureSet(tuple(finest * 2.0**k for k in range(_DOUBLINGS[len(dims)])), dims)
    wanted = tuple(sorted(length(scale) for scale in scales))
    if not wanted or wanted[0] < 0.5 * finest:
        text = f"a scale of at least half of the finest step, {finest / 2:.4g} um, is needed; received {list(scales)}"
        raise DataError(f"{image.name}: {text}")
    return FeatureSet(wanted, dims)


def feature_blocks(image: xr.DataArray, chosen: FeatureSet) -> Any:
    """Return the features (spatial..., feature) of an image as a dask array."""
    dims, steps = spatial_dims(image), steps_of(image)
    function = partial(chosen.of_block, dims=dims, steps=steps)
    return blockwise(image.data, dims, chosen.halo(steps), function, len(chosen.names))


def require_same(image: xr.DataArray, chosen: FeatureSet, owner: str) -> None:
    """Refuse an image on which features of these axes and scales mean something else.

    Raises
    ------
    DataError
        Naming what differs.
    """
    fitting = feature_set(image, None)
    if fitting.dims != chosen.dims:
        mine, theirs = ", ".join(fitting.dims), ", ".join(chosen.dims)
        raise DataError(f"{image.name} has features over {mine}, and {owner} was made with features over {theirs}")
    finest = min(steps_of(image)[dim] for dim in chosen.dims)
    if min(chosen.scales) < 0.5 * finest:
        raise DataError(
            f"{image.name}: pixels of {finest:.4g} um are too large for {owner}, whose finest scale is "
            f"{min(chosen.scales):.4g} um"
        )


def reach(sigma: float) -> int:
    """Return how many voxels a Gaussian of so many voxels extends before it is cut off."""
    return int(_REACH * sigma + 0.5)


def _rim(sigma: float) -> int:
    """Return how many voxels a feature of a scale reaches: two Gaussians, and two differences of neighbours."""
    return reach(sigma) + reach(_TENSOR * sigma) + 2


# A derivative is the difference of neighbours in the smoothed image, which for a Gaussian of at least a pixel is
# that of the Gaussian itself, and one Gaussian serves all of them. Times σ (or σ²) it is in the unit of the image and
# as large for an edge of any width, so that one threshold in a tree means the same at every magnification.
def _at_scale(
    values: Array, seen: Array, steps: list[float | None], scale: float, along: Mapping[str, int], dims: tuple[str, ...]
) -> list[Array]:
    """Return the features of one scale on a block with its rim."""
    axes = [axis for axis, dim in enumerate(dims) if dim in along]
    sigma = [scale / step if dim in along and step else 0.0 for dim, step in zip(dims, steps, strict=True)]
    smooth = smoothed(values, seen, sigma)
    slopes = {axis: _slope(smooth, axis, sigma[axis]) for axis in axes}
    hessian = {(i, j): _slope(slopes[i], j, sigma[j]) for i in axes for j in axes if i <= j}
    wide = [_TENSOR * each for each in sigma]
    structure = {(i, j): smoothed(slopes[i] * slopes[j], seen, wide) for i in axes for j in axes if i <= j}
    roots = [np.sqrt(np.maximum(each, 0.0)) for each in eigenvalues(structure, axes)]
    return [smooth, np.sqrt(sum(slope**2 for slope in slopes.values())), *eigenvalues(hessian, axes), *roots]


def _slope(values: Array, axis: int, sigma: float) -> Array:
    if values.shape[axis] < 2:
        return np.zeros_like(values)
    slope: Array = np.gradient(values, axis=axis) * np.float32(sigma)
    return slope


# Normalised convolution, G * (w v) / G * w with w = 1 where a value was seen: what is missing pulls the mean neither up
# nor down, as filling it with zero or with its neighbour would.
def smoothed(values: Array, seen: Array, sigma: Sequence[float]) -> Array:
    """Return a Gaussian mean of the values that were seen; 0 where there are none in reach."""
    from scipy.ndimage import gaussian_filter

    total: Array = gaussian_filter(values, sigma, mode="nearest", truncate=_REACH)
    if seen.all():
        return total
    weight = gaussian_filter(seen.astype(np.float32), sigma, mode="nearest", truncate=_REACH)
    mean: Array = np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-6)
    return mean


# In closed form: of a 2 x 2 tensor the mean of its diagonal, plus and minus the radius of Mohr's circle.
def eigenvalues(tensor: Mapping[tuple[int, int], Array], axes: Sequence[int]) -> list[Array]:
    """Return the eigenvalues, descending, of symmetric tensors of one to three axes whose upper halves are given."""
    if len(axes) == 1:
        return list(tensor.values())
    if len(axes) == 2:
        a, b, c = (tensor[key] for key in ((axes[0], axes[0]), (axes[0], axes[1]), (axes[1], axes[1])))
        mean, half = (a + c) / 2, np.sqrt(((a - c) / 2) ** 2 + b**2)
        return [mean + half, mean - half]
    from volumes.segmentation._kernels import eigenvalues as of_three

    first = tensor[0, 0]
    keys = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    a, b, c, d, e, f = (np.ascontiguousarray(tensor[key]).ravel() for key in keys)
    out = np.empty((first.size, 3), np.float32)
    of_three(a, b, c, d, e, f, out)
    return [out[:, k].reshape(first.shape) for k in range(3)]
