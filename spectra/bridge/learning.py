"""HyperSpy's learning results: the factors and loadings that a signal carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion.conventions import cell_methods, signal_dim, spatial_dims, with_links
from fusion.errors import DataError
from fusion.frames import with_pose
from fusion.variables import main_variable

Array = npt.NDArray[Any]
_VARIABLES: Final = ("abundance", "endmember")
_ALGORITHMS: Final = {"nmf": "NMF", "pca": "SVD"}
_BY_ALGORITHM: Final = {"NMF": "NMF", "SVD": "pca"}


def is_decomposition(ds: xr.Dataset) -> bool:
    """Whether a dataset is one that `spectra.decompose` returned."""
    return all(name in ds.data_vars for name in _VARIABLES)


def model(decomposed: xr.Dataset) -> xr.Dataset:
    """Return abundance · endmember as a dataset of its own, dims (z, y, x, signal), lazy.

    Parameters
    ----------
    decomposed : Dataset
        With ``abundance`` and ``endmember``.

    Examples
    --------
    >>> axes = {"x": fusion.Axis("um", 1.0), "component": [0], "energy": fusion.Axis("keV", 0.1)}
    >>> decomposed = fusion.dataset({"abundance": (("x", "component"), [[2.0], [4.0]]),
    ...                         "endmember": (("component", "energy"), [[0.5, 0.5]])}, axes,
    ...                        name="map", cell_methods="mean")
    >>> model(decomposed)["model"].values
    array([[1., 1.],
           [2., 2.]])
    """
    abundance = (
        decomposed["abundance"] if decomposed["abundance"].chunks is not None else decomposed["abundance"].chunk()
    )
    product = xr.dot(abundance, decomposed["endmember"], dim="component", optimize=True).drop_attrs(deep=False)
    attrs = with_links(abundance, []).attrs
    shell = decomposed.drop_vars([*decomposed.data_vars, "component"], errors="ignore")
    product = product.drop_vars("component", errors="ignore").assign_attrs(attrs, long_name="model")
    return with_pose(shell.assign(model=product), *fusion.get_pose(decomposed))


def attach(signal: Any, array: xr.DataArray, decomposed: xr.Dataset) -> None:
    """Fill the learning results of the signal of a map.

    Parameters
    ----------
    signal : BaseSignal
    array : DataArray
        The map of which it is the signal.
    decomposed : Dataset
        What `spectra.decompose` made of it.

    Raises
    ------
    DataError
        If it is no decomposition, or lies on other axes than the map, or the signal space is not that of the spectra.
    """
    if not is_decomposition(decomposed):
        raise DataError(
            f"a decomposition has abundance and endmember; received {sorted(map(str, decomposed.data_vars))}"
        )
    spectral = signal_dim(decomposed["endmember"].isel(component=0))
    spatial = spatial_dims(decomposed["abundance"])
    _require_same_axes(array, decomposed, (*spatial, spectral))
    if signal.axes_manager.signal_shape != (array.sizes[spectral],):
        raise DataError(f"the signal was transposed in HyperSpy and navigates along {spectral}; transpose it back")
    results = signal.learning_results
    results.loadings = _table(decomposed["abundance"], spatial)
    results.factors = _table(decomposed["endmember"], (spectral,))
    results.output_dimension = decomposed.sizes["component"]
    method = str(decomposed.attrs.get("decomposition", ""))
    results.decomposition_algorithm = _ALGORITHMS.get(method, method) or None
    results.poissonian_noise_normalized = decomposed.attrs.get("weighting") == "poisson"
    if "explained_variance" in decomposed:
        results.explained_variance = decomposed["explained_variance"].values.copy()
        results.explained_variance_ratio = decomposed["explained_variance"].values.copy()
    results.unfolded, results.original_shape = False, signal.data.shape
    results.navigation_mask, results.signal_mask = _masked(results.loadings), _masked(results.factors)


def results_of(signal: Any, ds: xr.Dataset, axes: Sequence[tuple[str, Any]], *, unmixed: bool) -> xr.Dataset:
    """Return the learning results of a signal as a decomposition.

    Parameters
    ----------
    signal : BaseSignal
    ds : Dataset
        The signal as `spectra.from_hyperspy` gives it, whose coordinates and pose the result has.
    axes : sequence of (str, axis)
        Dim and HyperSpy axis, in the order of the array.
    unmixed : bool
        Whether the results of the blind source separation are meant.

    Raises
    ------
    DataError
        If there are none, or the data were centred.
    """
    results = signal.learning_results
    loadings, factors = (results.bss_loadings, results.bss_factors) if unmixed else (results.loadings, results.factors)
    if loadings is None or factors is None:
        call = "blind_source_separation" if unmixed else "decomposition"
        raise DataError(f"the signal has no such results; run signal.{call}(...) first")
    if results.centre is not None:
        raise DataError(f"the data were centred ({results.centre!r}); decompose with centre=None instead")
    algorithm = str(results.decomposition_algorithm or "unknown")
    loadings, factors = np.asarray(loadings), np.asarray(factors)
    if algorithm == "NMF" and not unmixed:
        loadings, factors = _unit_sum(loadings, factors)
    navigation = [pair for pair in axes if pair[1].navigate]
    spectral = [pair for pair in axes if not pair[1].navigate]
    variables = {
        "abundance": _laid(loadings, navigation),
        "endmember": _laid(factors, spectral).transpose("component", ...),
    }
    if results.explained_variance_ratio is not None and not unmixed:
        shares = np.asarray(results.explained_variance_ratio)[: factors.shape[1]]
        variables["explained_variance"] = xr.DataArray(shares, dims="component")
    how = {"decomposition": f"{algorithm}, unmixed" if unmixed else _BY_ALGORITHM.get(algorithm, algorithm)}
    how["weighting"] = "poisson" if results.poissonian_noise_normalized else "none"
    return _decomposition(ds, variables, how)


def _decomposition(ds: xr.Dataset, variables: dict[str, xr.DataArray], how: dict[str, str]) -> xr.Dataset:
    array = main_variable(ds) if len(ds.data_vars) > 1 else next(iter(ds.data_vars.values()))
    spatial = spatial_dims(variables["abundance"])
    labels = {"units": array.attrs.get("units", "1"), "long_name": "abundance", **cell_methods(spatial, "mean")}
    variables["abundance"] = variables["abundance"].transpose(*spatial, ...).assign_attrs(labels)
    variables["endmember"] = variables["endmember"].transpose("component", ...)
    for name in variables.keys() - {"abundance"}:
        variables[name] = variables[name].assign_attrs(units="1", long_name=name.replace("_", " "))
    numbers = np.arange(variables["endmember"].sizes["component"])
    component = xr.Variable("component", numbers, {"long_name": "component"})
    shell = ds.drop_vars(list(ds.data_vars)).assign_coords(component=component)
    placed = with_pose(shell.assign(variables).assign_attrs(how), *fusion.get_pose(ds))
    return fusion.check(placed)


def _require_same_axes(array: xr.DataArray, decomposed: xr.Dataset, dims: tuple[str, ...]) -> None:
    if set(dims) != set(map(str, array.dims)):
        raise DataError(f"the decomposition has the axes {dims}, the map {array.dims}; it is not of this map")
    for dim in dims:
        if not np.array_equal(array[dim].values, decomposed[dim].values):
            raise DataError(f"the decomposition has other positions along {dim} than the map; it is not of this map")


def _table(array: xr.DataArray, dims: tuple[str, ...]) -> Array:
    """Return (position, component), positions in the order of the map."""
    values = array.transpose(*dims, "component").values
    return np.array(values.reshape(-1, values.shape[-1]))


def _masked(table: Array) -> Array | None:
    """Return which rows are NaN, as HyperSpy marks what a decomposition left out; None where there are none."""
    rows: Array = np.asarray(np.isnan(table).any(axis=1))
    return rows if rows.any() else None


def _laid(table: Array, axes: Sequence[tuple[str, Any]]) -> xr.DataArray:
    """Return (position, component) on the axes of the signal, reversed where one descends."""
    shape = [axis.size for _, axis in axes]
    array = xr.DataArray(table.reshape(*shape, -1), dims=[*(dim for dim, _ in axes), "component"])
    falling = [dim for dim, axis in axes if axis.size > 1 and axis.axis[0] > axis.axis[-1]]
    return array.isel({dim: slice(None, None, -1) for dim in falling})


def _unit_sum(loadings: Array, factors: Array) -> tuple[Array, Array]:
    scale = np.nansum(factors, axis=0)
    scale = np.where((scale == 0.0) | np.isclose(scale, 1.0, rtol=1e-12), 1.0, scale)
    return loadings * scale, factors / scale
