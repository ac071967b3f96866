"""Components are counted as they were put in, and noise is not counted."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Axis, DataError, provenance
from spectra.decomposition import rank


def as_map(counts):
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}
    return fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")


def mixture(components, seed, dose=400.0, size=16, channels=60):
    rng = np.random.default_rng(seed)
    pure = rng.dirichlet(np.full(channels, 0.2), components)
    share = rng.dirichlet(np.full(components, 0.4), (size, size))
    return as_map(rng.poisson(dose * share @ pure))


@pytest.mark.parametrize("strength", [1.6, 6.0])
def test_components_of_synthetic_maps_are_counted(strength):
    """From poor to rich; the whole of it, 200 maps, is benchmarks/spectra/rank.py."""
    path = Path(__file__).parents[3] / "benchmarks" / "spectra" / "rank.py"
    spec = importlib.util.spec_from_file_location("benchmark_rank", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    assert benchmark.row(range(500, 514), strength)[0] >= 13 / 14


def test_a_few_counts_in_nearly_empty_channels_hide_nothing():
    """One count in a channel of one count used to be the noise that all was compared with."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(20.0 * rng.dirichlet(np.full(4, 0.4), (16, 16)) @ rng.dirichlet(np.full(60, 0.2), 4))
    stray = np.zeros((16, 16, 20), int)
    stray.reshape(256, 20)[rng.choice(256, 20, replace=False), np.arange(20)] = 1
    ds = as_map(np.concatenate([counts, stray], axis=-1))
    assert int(spectra.count_components(ds)["components"]) == 4


def test_noise_is_one_component_at_the_level_it_says():
    maps = [mixture(1, seed, dose=60.0, size=12) for seed in range(40)]
    found = np.array([int(spectra.count_components(ds, most=3)["components"]) for ds in maps])
    assert np.mean(found > 1) < 0.2


def test_noise_that_is_uneven_is_not_taken_for_components():
    """A rare phase in channels of its own: the noise there is far above that of a map without structure."""
    rates = np.full((256, 60), 0.05)
    rates[:6, 50:] = 40.0
    for seed in range(8):
        ds = as_map(np.random.default_rng(seed).poisson(rates).reshape(16, 16, 60))
        assert int(spectra.count_components(ds)["components"]) == 2


@pytest.mark.parametrize("pixels", [8, 16])
def test_iron_sulfide_shows_three_or_four_components(measured, pixels):
    """Film, sulfide and copper; with the organic rod where pixels are coarse enough. The noise has dozens above it."""
    ds = spectra.open(measured("edx/jeol/Sample/00_View000/View000_0000006.pts"))
    coarse = ds[["counts"]].coarsen(y=pixels, x=pixels).sum(keep_attrs=True).assign_attrs(ds.attrs)
    assert int(spectra.count_components(coarse)["components"]) == {8: 3, 16: 4}[pixels]


def test_parts_share_all_counts_out():
    from scipy.sparse import csr_array

    whole = csr_array(np.random.default_rng(0).poisson(3.0, (30, 40)).astype(float))
    parts = list(rank._parts(whole, np.random.default_rng(1)))
    np.testing.assert_array_equal(sum(part.toarray() for part in parts), whole.toarray())
    assert all(abs(part.sum() - whole.sum() / 5) < 5 * np.sqrt(whole.sum() * 0.16) for part in parts)


def test_a_component_too_weak_for_its_dose_is_not_counted():
    counted = [int(spectra.count_components(mixture(6, 3, dose=dose))["components"]) for dose in (1.5, 20.0, 400.0)]
    assert counted == sorted(counted)
    assert counted[0] < counted[-1] == 6


def test_result_is_labelled_and_the_same_again():
    ds = mixture(3, 0, size=10)
    result = spectra.count_components(ds, most=5, seed=2)
    xr.testing.assert_equal(result, spectra.count_components(ds.chunk({"y": 3, "energy": 7}), most=5, seed=2))
    assert fusion.check(result) is result
    values = result["singular_value"].values
    assert values.shape == (5,)
    assert values[0] == pytest.approx(1.0)
    assert (np.diff(values) < 0).all()
    kept, error = result["cross_validated"].values, result["cross_validated_stderr"].values
    assert kept[0] == pytest.approx(1.0, abs=0.05)
    assert (error > 0).all()
    assert (np.abs(kept[3:]) < 2 * error[3:]).all()
    assert provenance.read(result)["steps"][-1]["parameters"] == {"most": 5, "seed": 2}


@pytest.mark.parametrize(
    ("change", "most", "message"),
    [
        (lambda c: c + 0.5, 3, "not all whole counts"),
        (lambda c: -c, 3, "not all whole counts"),
        (lambda c: c * np.nan, 3, "not all whole counts"),
        (lambda c: c * 2.0**60, 3, "not all whole counts"),
        (lambda c: c, 1, "from 2 to the smaller of 100 pixels and 60 channels with signal; received 1"),
        (lambda c: c, 61, "received 61"),
        (lambda c: c, 2.0, r"received 2\.0"),
    ],
)
def test_refusals(change, most, message):
    ds = mixture(3, 0, size=10)
    ds = ds.assign(counts=ds["counts"].copy(data=change(ds["counts"].values)))
    with pytest.raises(DataError, match=message):
        spectra.count_components(ds, most=most)
