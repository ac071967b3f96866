"""Maps of several modalities on one grid, decomposed together: shared abundances, endmembers for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import SPATIAL, kind, signal_dim, spatial_dims, stderr_name, title
from fusion.errors import DataError, FrameError
from fusion.frames import OWN, get_pose, same_transform
from fusion.model import Axis, require_data
from fusion.variables import main_variable, real_variable
from spectra.factorisation.engines import ENGINES
from spectra.factorisation.factors import Factors, singular
from spectra.factorisation.nmf import nonnegative
from spectra.factorisation.sparse import Array, Matrix, divided, entries, live, pixel_matrix

JointMethod: TypeAlias = Literal["nmf", "pca"]
Scaling: TypeAlias = Literal["block"]
SHARED: Final = "shared"
"""The node of a joint decomposition that holds what all modalities share."""
_JOINT: Final = {"nmf": nonnegative, "pca": singular}
"""The engines whose factors of a matrix beside another are those of both; see `spectra.factorisation.engines`."""


class _Block(NamedTuple):
    """One modality: pixels by channels with signal, and by what it is divided before the factors are sought."""

    name: str
    ds: xr.Dataset
    array: xr.DataArray
    signal: str
    matrix: Matrix
    channels: npt.NDArray[np.bool_]
    poisson: bool


class _Scaled(NamedTuple):
    """The matrix of a block divided by its weights: what its channels were divided by, and its norm afterwards."""

    matrix: Matrix
    by_channel: Array
    norm: float


def decompose_jointly(
    modalities: xr.DataTree | Mapping[str, xr.Dataset] | Sequence[xr.Dataset],
    components: int,
    *,
    method: JointMethod = "nmf",
    scaling: Scaling | None = "block",
    seed: int = 0,
) -> xr.DataTree:
    """Split the spectral maps of several modalities into components that they share.

    Each component has one abundance map and, in each modality, an endmember spectrum. What one modality cannot tell
    apart another may.

    Parameters
    ----------
    modalities : DataTree, mapping of str to Dataset, or sequence of Dataset
        Maps with one spectral variable each, on the same coordinates in the same pose; their names are the nodes of
        the tree, the keys, or the titles. Nodes without a signal axis are left out.
    components : int
        How many.
    method : {"nmf", "pca"}
        ``"nmf"``: non-negative factors. ``"pca"``: singular vectors without centring. As in `decompose`.
    scaling : {"block", None}
        ``"block"`` divides each modality by its own norm after weighting, so that all count the same whatever their
        units and numbers of channels. None leaves them as they are, which favours the one with the larger numbers.
    seed : int
        Of the start values; the same seed gives the same result.

    Returns
    -------
    DataTree
        Node ``shared``: ``abundance(z, y, x, component)``, dimensionless, and ``explained_variance(component)``, the
        mean of those of the modalities. A node for each modality: ``endmember(component, signal)`` in the unit of
        its map, and ``explained_variance(component)``, the share of the weighted sum of squares of this modality.
        ``abundance`` · ``endmember`` is the model of a modality. Abundances are scaled so that for ``"nmf"`` they sum
        to about 1 in a pixel with the mean total of all modalities, and for ``"pca"`` so that the endmembers, each
        over the root mean square of its map's spectra, have unit norm on average. Components are in descending
        share. For ``"nmf"`` also ``abundance_stderr``, with the endmembers held fixed. Pixels with a value in any
        modality that is not finite, as `fusion.resample` leaves them outside a map, take no part and are NaN; the
        attribute ``pixels_left_out`` counts them.

    Raises
    ------
    FrameError
        If the maps do not lie on one grid.
    DataError
        If there is no map, a map has no finite pixel, negative values for ``"nmf"``, or too few pixels or channels.

    Notes
    -----
    The matrices D_b (pixel × channel) of the modalities stand side by side: [D_1 W_1 / n_1, D_2 W_2 / n_2, …] = S F.
    Counts (``cell_methods`` sum) are weighted by the roots of the mean spectrum, other values are not; the roots of
    the mean image, of all modalities with counts, divide the rows. n_b is the Frobenius norm of a weighted block. This
    is consensus PCA with block weights, or NMF with shared abundances. With one modality of counts it is `decompose`.
    The standard error is that of a least-squares fit with these weights and fixed endmembers: the variance of counts
    is the model, that of other values the mean square of what the model leaves in a channel.

    References
    ----------
    J. A. Westerhuis, T. Kourti and J. F. MacGregor, J. Chemom. 12, 301 (1998): multi-block components and block
    scaling. A. P. Singh and G. J. Gordon, Proc. KDD 2008, 650: factors shared by several matrices.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> share = rng.uniform(size=(5, 4, 2))
    >>> def as_map(name, dim, unit, pure):
    ...     axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), dim: Axis(unit, 1.0)}
    ...     values = {name: (tuple(axes), share @ pure)}
    ...     return fusion.dataset(values, axes, name=name, cell_methods="mean", frame="stage")
    >>> edx = as_map("edx", "energy", "keV", np.array([[9.0, 1.0, 0.0], [0.0, 2.0, 8.0]]))
    >>> raman = as_map("raman", "raman_shift", "1/cm", np.array([[1.0, 0.0], [1.0, 3.0]]))
    >>> tree = decompose_jointly([edx, raman], 2)
    >>> sorted(tree.children), tree["shared/abundance"].dims, tree["raman/endmember"].sizes["raman_shift"]
    (['edx', 'raman', 'shared'], ('y', 'x', 'component'), 2)
    """
    named = _named(modalities)
    _require_choice(method, scaling)
    _require_grid(named)
    blocks, pixels, finite = _blocks(named)
    _require_sizes(blocks, components, method)
    by_pixel = _pixel_roots(blocks)
    scaled_blocks = [_weighted(block, by_pixel, scaling) for block in blocks]
    factors = _JOINT[method](_beside([scaled.matrix / scaled.norm for scaled in scaled_blocks]), components, seed)
    shares = np.array(_shares(scaled_blocks, factors))
    scores, endmembers = _unscaled(blocks, scaled_blocks, factors, by_pixel, method)
    order = np.argsort(-shares.mean(axis=0), kind="stable")
    scores, shares = scores[:, order], shares[:, order]
    endmembers = [rows[order] for rows in endmembers]
    variables: dict[str, Any] = {"abundance": _restored(scores, pixels, finite)}
    if ENGINES[method].nonnegative:
        error = _error(blocks, scaled_blocks, scores, endmembers)
        variables[stderr_name("abundance")] = _restored(error, pixels, finite)
    how: dict[str, Any] = {"decomposition": method, "converged": "yes" if factors.converged else "no"}
    how["pixels_left_out"] = int((~finite).sum())
    parameters = {
        "modalities": list(named),
        "components": components,
        "method": method,
        "scaling": scaling,
        "seed": seed,
    }
    nodes = {SHARED: _shared(blocks, variables, shares.mean(axis=0), how, parameters)}
    for block, rows, share in zip(blocks, endmembers, shares, strict=True):
        nodes[block.name] = _own(blocks, block, rows, share, how, parameters)
    return fusion.check(xr.DataTree.from_dict(nodes))


def _named(modalities: xr.DataTree | Mapping[str, xr.Dataset] | Sequence[xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return the maps by name; of a tree, the nodes with a spectral variable."""
    if isinstance(modalities, xr.DataTree):
        nodes = {
            node.name or title(node.to_dataset()): node.to_dataset() for node in modalities.subtree if node.has_data
        }
        maps = {name: ds for name, ds in nodes.items() if _is_map(ds)}
    elif isinstance(modalities, Mapping):
        maps = dict(cast("Mapping[str, xr.Dataset]", modalities))
    else:
        maps = {title(ds): ds for ds in modalities}
        if len(maps) < len(modalities):
            raise DataError("two datasets have one title; give them as a mapping of name to dataset")
    if not all(isinstance(ds, xr.Dataset) for ds in maps.values()):
        raise DataError("give the maps as [first, second], a mapping of name to dataset, or a tree; received one map")
    if not maps or SHARED in maps:
        raise DataError(f"maps with names other than {SHARED!r} are needed; received {list(maps) or 'none'}")
    return {name: fusion.check(ds) for name, ds in maps.items()}


def _is_map(ds: xr.Dataset) -> bool:
    signals = {str(dim) for array in ds.data_vars.values() if spatial_dims(array) for dim in array.dims} - {*SPATIAL}
    return bool(signals - {"component", "channel"})


def _require_choice(method: str, scaling: str | None) -> None:
    if method not in _JOINT:
        raise DataError(f"unknown method {method!r}; accepted are {', '.join(map(repr, _JOINT))}")
    if scaling not in ("block", None):
        raise DataError(f"unknown scaling {scaling!r}; accepted are 'block' and None")


def _require_grid(named: Mapping[str, xr.Dataset]) -> None:
    """Refuse maps that do not share their pixels."""
    (first, model), *others = named.items()
    dims = spatial_dims(main_variable(model))
    for name, ds in others:
        same = spatial_dims(main_variable(ds)) == dims
        same = same and all(np.array_equal(ds[dim].values, model[dim].values) for dim in dims)
        (pose, frame), (other, other_frame) = get_pose(model), get_pose(ds)
        same = same and frame == other_frame != OWN and same_transform(pose, other)
        if not same:
            raise FrameError(
                f"{name} and {first} do not lie on one grid (the same coordinates, pose and frame); bring them "
                "together first, e.g. fusion.resample(ds, grid)"
            )


def _blocks(named: Mapping[str, xr.Dataset]) -> tuple[list[_Block], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the blocks, which pixels of the grid they hold, and which pixels of the grid are finite in all."""
    arrays = {name: real_variable(ds) for name, ds in named.items()}
    matrices = {}
    for name, array in arrays.items():
        require_data(array, smallest=1)
        matrices[name] = pixel_matrix(array, signal_dim(array))
    finite = np.all([np.isfinite(matrix.sum(axis=1)) for matrix in matrices.values()], axis=0)
    alive = np.any([live(matrix[finite])[0] for matrix in matrices.values()], axis=0)
    pixels = finite.copy()
    pixels[finite] = alive
    blocks = []
    for name, array in arrays.items():
        matrix = matrices[name][pixels]
        channels = live(matrix)[1]
        kept = matrix[:, channels]
        blocks.append(_Block(name, named[name], array, signal_dim(array), kept, channels, kind(array) == "sum"))
    return blocks, pixels, finite


def _require_sizes(blocks: list[_Block], components: int, method: JointMethod) -> None:
    for block in blocks:
        if min(block.matrix.shape) < 1:
            raise DataError(f"{block.name}: no pixel that is finite in all modalities has any signal")
        if (ENGINES[method].nonnegative or block.poisson) and entries(block.matrix).min() < 0:
            raise DataError(
                f"{block.name}: negative values (down to {entries(block.matrix).min():.4g}); clip them first"
            )
    most = min(blocks[0].matrix.shape[0], sum(block.matrix.shape[1] for block in blocks))
    if isinstance(components, bool) or not isinstance(components, (int, np.integer)) or not 1 <= components <= most:
        raise DataError(f"components is a whole number from 1 to {most}; received {components!r}")


# Counts n_ij scatter by √μ_ij. Under the rank-one approximation μ_ij ≈ r_i c_j, dividing rows by √r_i and columns by
# √c_j makes the noise of all entries alike, so that least squares is nearly Poisson likelihood (Cochran and Horne,
# Anal. Chem. 49, 846 (1977); Keenan and Kotula, Surf. Interface Anal. 36, 203 (2004)). One r_i must serve all
# modalities, since the rows share their abundances: the mean of their images, each of unit mean, so that the
# brightest detector does not decide alone.
def _pixel_roots(blocks: list[_Block]) -> Array:
    """Return the roots of the mean image of all modalities with counts, each with unit mean first."""
    images = [np.asarray(block.matrix.sum(axis=1)) for block in blocks if block.poisson]
    if not images:
        return np.ones(blocks[0].matrix.shape[0])
    mean = np.mean([image / image.mean() for image in images], axis=0)
    # a pixel without any count in these modalities may have signal in others
    return np.asarray(np.sqrt(np.where(mean > 0, mean, 1.0)))


# Divided by its Frobenius norm, every modality brings the same sum of squares to the fit, whatever its unit and its
# number of channels (block scaling, Westerhuis, Kourti and MacGregor, J. Chemom. 12, 301 (1998)); without it 2048
# channels of X-rays outvote 300 of Raman.
def _weighted(block: _Block, by_pixel: Array, scaling: str | None) -> _Scaled:
    by_channel = np.sqrt(block.matrix.sum(axis=0)) if block.poisson else np.ones(block.matrix.shape[1])
    scaled = divided(block.matrix, by_pixel, np.asarray(by_channel))
    norm = float(np.sqrt((entries(scaled) ** 2).sum())) if scaling == "block" else 1.0
    return _Scaled(scaled, np.asarray(by_channel), norm)


def _beside(matrices: list[Matrix]) -> Matrix:
    """Return the blocks side by side: sparse if all are."""
    from scipy.sparse import csr_array, hstack

    if all(isinstance(matrix, np.ndarray) for matrix in matrices):
        return np.hstack(matrices)
    if any(isinstance(matrix, np.ndarray) for matrix in matrices):
        return np.hstack([matrix if isinstance(matrix, np.ndarray) else matrix.toarray() for matrix in matrices])
    return csr_array(hstack(matrices, format="csr"))


def _split(factors: Array, sizes: list[int]) -> list[Array]:
    return np.split(factors, np.cumsum(sizes)[:-1], axis=1)


# With scores s and factors F, component k makes up |s_k|² |F_kb|² of the sum of squares of block b. Exact for
# orthogonal components; for others cross terms are left out, so shares need not sum to the explained variance.
def _shares(scaled_blocks: list[_Scaled], factors: Factors) -> list[Array]:
    """Return for each modality the weighted sum of squares of each component over that of the data."""
    rows = _split(factors.factors, [scaled.by_channel.size for scaled in scaled_blocks])
    score = (factors.scores**2).sum(axis=0)
    return [
        score * (own**2).sum(axis=1) * scaled.norm**2 / (entries(scaled.matrix) ** 2).sum()
        for own, scaled in zip(rows, scaled_blocks, strict=True)
    ]


# The model S F is the same for any S diag(c), diag(1/c) F. The scale c_k is fixed by the data: with NMF the share of
# component k in the total, averaged over the modalities, has the mean abundance 1 over the pixels; components of both
# signs have no total, so the mean square takes its place, and the sign makes the largest entry of a factor positive.
def _unscaled(
    blocks: list[_Block], scaled_blocks: list[_Scaled], factors: Factors, by_pixel: Array, method: JointMethod
) -> tuple[Array, list[Array]]:
    """Return abundances and the endmembers of each modality in its unit, for a mean total abundance of one."""
    rows = _split(factors.factors, [scaled.by_channel.size for scaled in scaled_blocks])
    rows = [own * scaled.by_channel * scaled.norm for own, scaled in zip(rows, scaled_blocks, strict=True)]
    if ENGINES[method].nonnegative:
        sizes = [own.sum(axis=1) / block.matrix.sum() for own, block in zip(rows, blocks, strict=True)]
        scale = np.mean(sizes, axis=0) * by_pixel.size
    else:
        squares = [
            (own**2).sum(axis=1) / (entries(block.matrix) ** 2).sum() for own, block in zip(rows, blocks, strict=True)
        ]
        scale = np.sqrt(np.mean(squares, axis=0) * by_pixel.size)
        largest = np.abs(factors.factors).argmax(axis=1)[:, None]
        scale *= np.sign(np.take_along_axis(factors.factors, largest, axis=1)[:, 0])
    scale = np.where(scale == 0.0, 1.0, scale)
    return factors.scores * by_pixel[:, None] * scale, [own / scale[:, None] for own in rows]


def _error(blocks: list[_Block], scaled_blocks: list[_Scaled], scores: Array, endmembers: list[Array]) -> Array:
    """Return the standard error of the abundances, with the endmembers held fixed."""
    # The weighted fit of a pixel is linear in its values d_b of all blocks: a = G⁻¹ Σ_b E_b W_b d_b with
    # G = Σ_b E_b W_b E_bᵀ, so that var(a) = Σ_b (G⁻¹ E_b W_b)² var(d_b), squares taken element by element.
    weights = [1.0 / (scaled.by_channel * scaled.norm) ** 2 for scaled in scaled_blocks]
    weighted = [rows * weight for rows, weight in zip(endmembers, weights, strict=True)]
    gram = sum(left @ rows.T for left, rows in zip(weighted, endmembers, strict=True))
    inverse = np.linalg.pinv(gram)
    variance = np.zeros_like(scores)
    for block, left, rows in zip(blocks, weighted, endmembers, strict=True):
        squared = (inverse @ left) ** 2
        variance += scores @ (rows @ squared.T) if block.poisson else squared @ _left_over(block.matrix, scores, rows)
    return np.sqrt(np.maximum(variance, 0.0))


def _left_over(matrix: Matrix, scores: Array, rows: Array) -> Array:
    """Return the mean square, in each channel, of what the model leaves."""
    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    freedom = max(1, scores.shape[0] - scores.shape[1])
    return np.asarray(((dense - scores @ rows) ** 2).sum(axis=0) / freedom)


def _restored(values: Array, pixels: npt.NDArray[np.bool_], finite: npt.NDArray[np.bool_]) -> Array:
    """Put back zeros where there was no signal, and NaN where a value was not finite."""
    full = np.zeros((pixels.size, values.shape[1]))
    full[~finite] = np.nan
    full[pixels] = values
    return full


def _shared(
    blocks: list[_Block], arrays: Mapping[str, Array], share: Array, how: dict[str, Any], parameters: dict[str, Any]
) -> xr.Dataset:
    ds, array = blocks[0].ds, blocks[0].array
    spatial = spatial_dims(array)
    shape = tuple(array.sizes[dim] for dim in spatial)
    variables: dict[str, Any] = {
        name: ((*spatial, "component"), values.reshape(*shape, -1), {"units": "1"}) for name, values in arrays.items()
    }
    variables["explained_variance"] = (("component",), share)
    pose, frame = get_pose(ds)
    axes = {dim: Axis(ds[dim].attrs["units"], values=ds[dim].values) for dim in spatial}
    result = fusion.dataset(
        variables,
        {**axes, "component": np.arange(share.size)},
        name=SHARED, cell_methods="mean", pose=pose, frame=frame, attrs=how,
    )  # fmt: skip
    result = result.assign_coords({dim: ds[dim] for dim in SPATIAL if dim in ds.coords})
    return _recorded(result, blocks, parameters)


def _own(
    blocks: list[_Block], block: _Block, rows: Array, share: Array, how: dict[str, Any], parameters: dict[str, Any]
) -> xr.Dataset:
    full = np.zeros((share.size, block.channels.size))
    full[:, block.channels] = rows
    axis = block.ds[block.signal]
    pose, frame = get_pose(block.ds)
    result = fusion.dataset(
        {
            "endmember": (("component", block.signal), full, {"units": block.array.attrs.get("units", "1")}),
            "explained_variance": (("component",), share),
        },
        {block.signal: Axis(axis.attrs["units"], values=axis.values), "component": np.arange(share.size)},
        name=block.name, pose=pose, frame=frame, attrs={**block.ds.attrs, **how},
    )  # fmt: skip
    result = result.assign_coords({block.signal: axis})
    return _recorded(result, blocks, parameters)


def _recorded(result: xr.Dataset, blocks: list[_Block], parameters: dict[str, Any]) -> xr.Dataset:
    """Return a node with the step that made all of them."""
    first, *others = (block.ds for block in blocks)
    return provenance.record(result, "spectra.decompose_jointly", parameters, parents=others, source=first)
