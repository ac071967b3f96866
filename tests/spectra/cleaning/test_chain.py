"""What every cleaning step keeps: laziness, masks, its input, its record; and chains of them."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Axis, DataError, provenance

STEPS = [
    ("despike", {}),
    ("baseline", {"lam": 1e4}),
    ("clip", {}),
    ("crop", {"energy": (0.5, 3.0), "x": (1.0, None)}),
    ("normalise", {"by": "area"}),
    ("normalise", {"by": "max"}),
    ("normalise", {"by": "norm"}),
    ("normalise", {"by": (1.0, 2.0)}),
    ("calibrate", {"lines": {1.0: 1.1, 2.0: 2.05, 3.0: 3.0}}),
    ("smooth", {"window": 7}),
    ("smooth", {"sigma": 0.15}),
    ("mask_channels", {}),
    ("mask_channels", {"channels": [0.5, (1.0, 1.5)]}),
    ("fill_channels", {}),
    ("fill_channels", {"channels": [0.5, (1.0, 1.5)]}),
]
IDS = [f"{name} {'-'.join(map(str, options))}" for name, options in STEPS]


def intensities(shape=(3, 4), seed=0):
    rng = np.random.default_rng(seed)
    energy = 0.1 * np.arange(50)
    peak = 200.0 * np.exp(-(((energy - 2.0) / 0.3) ** 2))
    return 20.0 + peak * rng.uniform(0.5, 1.0, (*shape, 1)) + rng.normal(size=(*shape, 50))


def labelled(values, error=True, lazy=False, method="mean"):
    def data(array):
        return da.from_array(array, chunks=(2, 3, 20)) if lazy else array

    linked = {"ancillary_variables": "signal_stderr"} if error else {}
    variables = {"signal": (("y", "x", "energy"), data(values), linked)}
    if error:
        variables["signal_stderr"] = (("y", "x", "energy"), data(np.sqrt(np.abs(values))))
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    return fusion.dataset(variables, axes, name="map", cell_methods=method)


@pytest.mark.parametrize(("name", "options"), STEPS, ids=IDS)
def test_lazy_is_eager(name, options):
    values = intensities()
    values[1, 2, 7] = np.nan
    eager = spectra.clean(labelled(values), [(name, options)])
    lazy = spectra.clean(labelled(values, lazy=True), [(name, options)])
    assert lazy["signal"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), eager, rtol=1e-12)
    assert lazy["signal"].attrs == eager["signal"].attrs
    fusion.check(lazy)


@pytest.mark.parametrize(("name", "options"), STEPS, ids=IDS)
def test_nothing_is_computed_at_the_call(name, options):
    def explode(block):
        raise AssertionError("computed")

    values = da.map_blocks(explode, da.zeros((3, 4, 50), chunks=2), dtype=np.float64, meta=np.empty((0, 0, 0)))
    ds = labelled(intensities()).assign(
        {key: (("y", "x", "energy"), values, labelled(intensities())[key].attrs) for key in ("signal", "signal_stderr")}
    )
    spectra.clean(ds, [(name, options)])


@pytest.mark.parametrize(("name", "options"), STEPS, ids=IDS)
def test_input_may_be_read_only_and_is_left_alone(name, options):
    values = intensities()
    values.setflags(write=False)
    ds = labelled(values)
    before = ds.copy(deep=True)
    spectra.clean(ds, [(name, options)])
    xr.testing.assert_identical(ds, before)


@pytest.mark.parametrize(("name", "options"), STEPS, ids=IDS)
def test_a_masked_pixel_stays_masked_and_alone(name, options):
    values = intensities()
    holed = values.copy()
    holed[2, 3] = np.nan
    if name in ("mask_channels", "fill_channels") and not options:
        options = {"channels": [0.5]}
    result, whole = (spectra.clean(labelled(one), [(name, options)])["signal"] for one in (holed, values))
    assert result.isel(y=-1, x=-1).isnull().all()
    xr.testing.assert_allclose(result.isel(y=slice(0, 2)), whole.isel(y=slice(0, 2)))


@pytest.mark.parametrize(("name", "options"), STEPS, ids=IDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_one_pixel_of_any_type(name, options, dtype):
    options = {**options, "x": (0.0, None)} if "x" in options else options
    ds = labelled(intensities((1, 1)).astype(dtype))
    result = spectra.clean(ds, [(name, options)])["signal"]
    expected = np.float32 if dtype is np.float32 else np.float64
    assert result.dtype == (expected if name not in ("clip", "crop", "calibrate") else dtype)
    assert np.isfinite(result).any()


@pytest.mark.parametrize(("name", "options"), STEPS, ids=IDS)
def test_no_error_is_left_stale(name, options):
    """Where a value was changed its error was carried by a rule, is NaN, or is gone together with the link to it."""
    values = intensities()
    values[0, 1, 30] += 900.0
    values[1, 1, 4] = -5.0
    ds = labelled(values)
    result = spectra.clean(ds, [(name, options)])
    linked = "ancillary_variables" in result["signal"].attrs
    assert linked == ("signal_stderr" in result) == (name != "baseline")
    if name in ("despike", "clip", "mask_channels", "fill_channels"):
        changed = ~(result["signal"] == ds["signal"])
        assert changed.any() or not options
        assert result["signal_stderr"].where(changed).isnull().all()
        kept = ds["signal_stderr"].where(~changed)
        np.testing.assert_array_equal(result["signal_stderr"].where(~changed), kept)


def test_a_chain_can_be_repeated_from_the_record(tmp_path):
    ds = labelled(intensities())
    steps = ["despike", ("baseline", {"lam": 1e4}), "clip", ("crop", {"energy": (0.5, 3.0)}),
             ("calibrate", {"lines": {1.0: 1.1}}), ("smooth", {"window": 5}), "fill_channels",
             ("mask_channels", {"channels": [(1.2, 1.4)]})]  # fmt: skip
    done = spectra.clean(ds, steps)
    assert [name for name, _ in spectra.cleaning_steps(done)] == [s if isinstance(s, str) else s[0] for s in steps]
    fusion.save(done, tmp_path / "done.nc")
    again = spectra.clean(ds, spectra.cleaning_steps(fusion.load(tmp_path / "done.nc")))
    xr.testing.assert_identical(again.drop_attrs(deep=False), done.drop_attrs(deep=False))
    one_by_one = spectra.clip(spectra.baseline(spectra.despike(ds), lam=1e4))
    xr.testing.assert_identical(spectra.clean(ds, steps[:3])["signal"], one_by_one["signal"])
    assert provenance.read(one_by_one)["steps"] == provenance.read(spectra.clean(ds, steps[:3]))["steps"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [(["despike", "polish"], "no cleaning steps: 'polish'; known are baseline, calibrate"),
     ([("smooth", {"windov": 3})], r"step 1 \(smooth\) does not take .*windov")],
)  # fmt: skip
def test_unknown_steps(steps, message):
    with pytest.raises(DataError, match=message):
        spectra.clean(labelled(intensities()), steps)


@pytest.mark.parametrize(
    ("steps", "message"),
    [("despike", "steps are a list"), ([3], "steps are a list"), ([("normalise", {"by": 3})], "by is 'area'"),
     ([("mask_channels", {"channels": ["a"]})], "positions along energy"), ([("smooth", {"sigma": "a"})], "positive"),
     ([("calibrate", {"lines": 3})], "pairs")],
)  # fmt: skip
def test_senseless_arguments(steps, message):
    with pytest.raises(DataError, match=message):
        spectra.clean(labelled(intensities()), steps)


def test_a_single_channel_cannot_be_a_spike():
    with pytest.raises(DataError, match="at least 3 channels are needed"):
        spectra.despike(labelled(intensities()).isel(energy=slice(0, 1)))
