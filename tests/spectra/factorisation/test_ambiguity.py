"""How far components can be mixed: exact where it is known, and enough for the truth to lie in the intervals."""

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment

import fusion
import spectra
from fusion import Axis
from spectra.decomposition.unfolding import problem
from spectra.factorisation.ambiguity import mixing
from spectra.factorisation.uncertainty import joint_errors, separate_errors


def scene(continuum, seed=0, dose=2000.0, size=20, noise=True):
    """Return counts of three components with two lines each on a common continuum; each is absent from some pixels."""
    rng = np.random.default_rng(seed)
    channel = np.arange(60)
    centres = np.array([[8.0, 30.0], [18.0, 44.0], [25.0, 52.0]])[:, :, None]
    pure = np.exp(-(((channel - centres) / 2.0) ** 2) / 2).sum(axis=1)
    pure = (1.0 - continuum) * pure / pure.sum(axis=1, keepdims=True) + continuum / channel.size
    share = np.clip(rng.dirichlet(np.full(3, 0.5), (size, size)) - 0.1, 0.0, None)
    amount = dose * share / share.sum(axis=-1, keepdims=True)
    counts = rng.poisson(amount @ pure) if noise else amount @ pure
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    return ds, amount.reshape(-1, 3), pure


def test_the_range_ends_where_a_channel_or_a_pixel_reaches_zero():
    ds, amount, pure = scene(0.2, noise=False)
    matrix = problem(ds["counts"], "poisson")
    errors = np.full(amount.shape, 1e-6), np.full(pure.shape, 1e-9)
    free = mixing(matrix, amount, pure, errors)
    for k, other in [(0, 1), (2, 0)]:
        lowest = (pure[k] / pure[other]).min()  # of e_k (1 + Δ) − Δ e_l ≥ 0
        assert free.out[k, other] == pytest.approx(lowest / (1.0 - lowest), rel=0.01)
        assert free.into[k, other] < 1e-6  # the other is absent from some pixels with k


def test_nothing_can_be_mixed_without_a_continuum():
    ds, amount, pure = scene(0.0)
    matrix = problem(ds["counts"], "poisson")
    pure = pure[:, matrix.channels]
    free = mixing(matrix, amount, pure, separate_errors(amount, pure, matrix.by_pixel**2, matrix.by_channel**2))
    assert max(free.out.max(), free.into.max()) < 0.01
    assert np.isfinite(free.variance).all()


def test_components_that_are_present_everywhere_are_not_determined():
    """Two spectra without zeros in pixels without zeros: all of a wide range fits, and the result says so."""
    rng = np.random.default_rng(0)
    pure = np.stack([np.linspace(1.0, 2.0, 40), np.linspace(2.0, 1.0, 40)]) / 60.0
    amount = rng.uniform(4e3, 6e3, (12, 12, 2))
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    counts = rng.poisson(amount @ pure)
    ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    start = xr.DataArray(pure, {"energy": ds["energy"]}, ("component", "energy"))
    result = spectra.decompose(ds, 2, method="mcr", initial=start)
    assert result.attrs["undetermined"] == "0, 1"
    assert np.isinf(result["abundance_stderr"]).all()


def test_intervals_hold_the_truth_on_a_common_continuum():
    inside = []
    for seed in range(6):
        ds, amount, pure = scene(0.25, seed)
        result = spectra.decompose(ds, 3)
        order = linear_sum_assignment(-(pure @ result["endmember"].values.T))[1]
        result = result.isel(component=order)
        for name, truth in (("abundance", amount.reshape(20, 20, 3)), ("endmember", pure)):
            error = result[f"{name}_stderr"].values
            assert np.isfinite(error).all()
            inside.append((np.abs(result[name].values - truth) <= 1.96 * error).mean())
    assert 0.91 < np.mean(inside) < 0.985


def test_errors_without_the_range_would_be_too_small():
    ds, amount, pure = scene(0.1, dose=5000.0)
    result = spectra.decompose(ds, 3)
    matrix = problem(ds["counts"], "poisson")
    order = linear_sum_assignment(-(pure @ result["endmember"].values.T))[1]
    abundance = result["abundance"].values.reshape(-1, 3)[:, order]
    endmember = result["endmember"].values[order]
    weights = matrix.by_pixel**2, matrix.by_channel**2
    free = mixing(matrix, abundance, endmember, separate_errors(abundance, endmember, *weights))
    off = np.abs(abundance - amount)
    fixed = np.zeros((3, 3))
    covered = [(off <= 1.96 * joint_errors(abundance, endmember, *weights, one).abundance).mean()
               for one in (fixed, free.variance)]  # fmt: skip
    assert covered[0] < 0.9 < covered[1]
