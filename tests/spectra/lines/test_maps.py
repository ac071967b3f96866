"""Line and band maps: against analytic truth, repeated draws, and eXspy."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Axis, DataError, provenance
from spectra.lines.maps import Windows, coefficients
from spectra.lines.xrays import channel_edges, profile, xray_line

ENERGY = 0.01 * np.arange(20, 1200)


def counts_map(counts, energy=ENERGY, **options):
    dims = ("y", "x", "energy")[-counts.ndim :]
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 2.0), "energy": Axis("keV", values=energy)}
    options = {"cell_methods": "sum", **options}
    return fusion.dataset({"counts": (dims, counts, {"units": "count"})}, {dim: axes[dim] for dim in dims}, name="map",
                          **options)  # fmt: skip


def lines_of(**amounts):
    """Return expected counts: single lines with their amounts, over a sloping background."""
    shapes = [amount * profile(xray_line(name), channel_edges(ENERGY), 130.0) for name, amount in amounts.items()]
    return np.sum(shapes, axis=0) + 6.0 - 0.4 * ENERGY


def test_sloping_background_is_taken_off_exactly():
    ds = counts_map(np.stack([lines_of(), lines_of(Fe_Ka=500.0)]))
    found = spectra.line_map(ds, "Fe_Ka", resolution=130.0)["Fe_Ka"].values
    np.testing.assert_allclose(found, [0.0, 500.0], atol=500.0 * 0.022)
    assert abs(found[0]) < 1e-9


def test_standard_error_is_the_spread_of_repeated_counting():
    draws = np.random.default_rng(2).poisson(lines_of(Fe_Ka=300.0), (40, 50, ENERGY.size))
    found = spectra.line_map(counts_map(draws), ["Fe_Ka"], resolution=130.0, side=0.7)
    assert float(found["Fe_Ka"].std()) == pytest.approx(float(found["Fe_Ka_stderr"].mean()), rel=0.05)
    z = (found["Fe_Ka"] - found["Fe_Ka"].mean()) / found["Fe_Ka_stderr"]
    assert 0.66 < float((abs(z) < 1.0).mean()) < 0.71


def test_error_is_the_formula_of_two_side_windows():
    counts = np.random.default_rng(3).poisson(lines_of(Fe_Ka=300.0))[None]
    found = spectra.line_map(counts_map(counts), "Fe_Ka", resolution=130.0)
    ends = np.reshape(found["Fe_Ka"].attrs["windows"], (3, 2))
    left, inside, right = (counts[0, (low <= ENERGY) & (high >= ENERGY)] for low, high in ends)
    ratio = inside.size / (left.size + right.size)
    expected = inside.sum() + ratio**2 * (left.sum() + right.sum())
    assert float(found["Fe_Ka_stderr"][0]) ** 2 == pytest.approx(expected, rel=0.05)


def test_net_counts_are_those_of_exspy():
    counts = np.random.default_rng(4).poisson(lines_of(Fe_Ka=900.0, Ni_Ka=400.0), (3, 4, ENERGY.size))
    ds = counts_map(counts, attrs={"signal_type": "EDS_SEM", "beam_energy": 20.0})
    signal = spectra.to_hyperspy(ds)
    found = spectra.line_map(ds, ["Fe_Ka", "Ni_Ka"], resolution=130.0)
    for name in ("Fe_Ka", "Ni_Ka"):
        ends = np.reshape(found[name].attrs["windows"], (3, 2))
        # a range of eXspy holds its lower end and not its upper one, each at the nearest channel
        left, inside, right = ([ENERGY[low <= ENERGY][0], ENERGY[high >= ENERGY][-1] + 0.01] for low, high in ends)
        options = {"integration_windows": [inside], "background_windows": [[*left, *right]]}
        theirs = signal.get_lines_intensity([name], **options)[0]
        np.testing.assert_allclose(found[name], theirs.data, atol=1.0)


def test_lazy_maps_stay_lazy_and_agree():
    counts = np.random.default_rng(5).poisson(3.0, (4, 5, ENERGY.size)).astype(np.uint16)
    eager = spectra.line_map(counts_map(counts), "Fe_Ka", resolution=130.0)
    lazy = spectra.line_map(counts_map(da.from_array(counts, chunks=(2, 3, 300))), "Fe_Ka", resolution=130.0)
    assert lazy["Fe_Ka"].chunks is not None
    xr.testing.assert_allclose(lazy[["Fe_Ka", "Fe_Ka_stderr"]].compute(), eager[["Fe_Ka", "Fe_Ka_stderr"]])


def test_labels_links_and_history():
    counts = np.ones((2, 3, ENERGY.size), np.uint8)
    counts.flags.writeable = False
    found = spectra.line_map(counts_map(counts, frame="stage"), "Fe_Ka", resolution=130.0)
    assert set(found.data_vars) == {"Fe_Ka", "Fe_Ka_stderr"}
    assert found["Fe_Ka"].dims == ("y", "x")
    assert found["Fe_Ka"].attrs["ancillary_variables"] == "Fe_Ka_stderr"
    assert found["Fe_Ka"].attrs["cell_methods"] == "y: x: sum"
    assert fusion.get_pose(found)[1] == "stage"
    step = provenance.read(found)["steps"][-1]
    assert (step["name"], step["parameters"]["resolution"]) == ("spectra.line_map", 130.0)


def test_nan_spoils_only_its_pixel_and_only_within_the_windows():
    counts = np.ones((1, 3, ENERGY.size))
    counts[0, 1, np.argmin(abs(ENERGY - 6.4))] = np.nan
    counts[0, 2, np.argmin(abs(ENERGY - 2.0))] = np.nan
    found = spectra.line_map(counts_map(counts), "Fe_Ka", resolution=130.0)
    np.testing.assert_array_equal(np.isnan(found["Fe_Ka"].values), [[False, True, False]])
    np.testing.assert_array_equal(np.isnan(found["Fe_Ka_stderr"].values), [[False, True, False]])


def test_measured_line_map(measured):
    ds = spectra.open(measured("edx/P45_the_default_job.bcf"))
    found = spectra.line_map(ds, ["Si_Ka", "Fe_Ka"], resolution=130.0).compute()
    summed = ds.sum(("y", "x"), keep_attrs=True).expand_dims(x=[0.0]).assign_coords(x=ds.x[:1])
    total = spectra.line_map(summed, "Si_Ka", resolution=130.0)
    assert float(found["Si_Ka"].sum()) == pytest.approx(float(total["Si_Ka"].sum()), rel=1e-9)
    assert float(found["Si_Ka"].sum()) > 20 * float(found["Fe_Ka"].sum()) > 0


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ("Fe_Ka", {"resolution": None}, "does not state the energy resolution"),
        ("Fe_Kz", {}, "no X-ray line 'Fe_Kz'"),
        ("Au_Ka", {}, r"run from 67.* but the axis only from 0.2 to 11.99"),
        ("Fe_Ka", {"width": 0.0}, "width and side are positive"),
        ("Fe_Ka", {"width": 0.01}, "a window holds no channel"),
    ],
)
def test_refusals(lines, options, message):
    with pytest.raises(DataError, match=message):
        spectra.line_map(counts_map(np.ones((2, ENERGY.size))), lines, **{"resolution": 130.0, **options})


def test_values_that_are_no_counts_are_refused():
    with pytest.raises(DataError, match=r"counts .* are needed"):
        spectra.line_map(counts_map(np.ones((2, ENERGY.size)), cell_methods="mean"), "Fe_Ka", resolution=130.0)
    with pytest.raises(DataError, match="negative values"):
        spectra.line_map(counts_map(-np.ones((2, ENERGY.size))), "Fe_Ka", resolution=130.0)
    with pytest.raises(DataError, match="negative values"):
        spectra.line_map(counts_map(-np.ones((2, ENERGY.size), np.int16)), "Fe_Ka", resolution=130.0)
    with pytest.raises(DataError, match="lie along energy"):
        spectra.line_map(raman_map(np.ones((2, 50)), np.arange(50.0)), "Fe_Ka", resolution=130.0)


def raman_map(values, shift):
    axes = {"x": Axis("um", 1.0), "raman_shift": Axis("1/cm", values=shift)}
    return fusion.dataset({"intensity": (("x", "raman_shift"), values, {"units": "count"})}, axes, name="map",
                          cell_methods="mean")  # fmt: skip


UNEVEN = 900.0 + np.cumsum(np.linspace(1.0, 2.5, 90))


def test_band_area_on_an_uneven_axis_is_the_integral():
    band = 40.0 * np.exp(-0.5 * ((UNEVEN - 960.0) / 4.0) ** 2)
    ds = raman_map(np.stack([band, band + 5.0 + 0.3 * UNEVEN]), UNEVEN)
    found = spectra.band_map(ds, {"phosphate": (940.0, 980.0)}, side=12.0)
    assert found["phosphate"].attrs["units"] == "count * 1/cm"
    bare = ds.assign(intensity=ds["intensity"].assign_attrs(units="1"))
    assert spectra.band_map(bare, {"phosphate": (940.0, 980.0)}, side=12.0)["phosphate"].attrs["units"] == "1/cm"
    np.testing.assert_allclose(found["phosphate"], 40.0 * 4.0 * np.sqrt(2.0 * np.pi), rtol=1e-3)
    assert fusion.units.is_compatible(found["phosphate"].attrs["units"], "count/cm")


def test_band_error_is_the_spread_of_repeated_noise():
    noise = np.random.default_rng(6).normal(scale=2.0, size=(4000, UNEVEN.size))
    found = spectra.band_map(raman_map(noise + 0.1 * UNEVEN, UNEVEN), {"band": (940.0, 980.0)}, side=15.0)
    spread = float(found["band"].std())
    assert float((found["band_stderr"] ** 2).mean()) ** 0.5 == pytest.approx(spread, rel=0.04)
    assert abs(float(found["band"].mean())) < 4.0 * spread / np.sqrt(4000)


def test_band_maps_of_measured_cartilage(measured):
    ds = spectra.open(measured("raman/chondro.nc"))
    found = spectra.band_map(ds, {"phenylalanine": (995.0, 1011.0), "CH2": (1410.0, 1490.0)}, side=12.0).compute()
    assert float((found["CH2"] > 3.0 * found["CH2_stderr"]).mean()) > 0.95
    assert (found["phenylalanine_stderr"] > 0).all()


def test_band_refusals():
    ds = raman_map(np.ones((2, UNEVEN.size)), UNEVEN)
    with pytest.raises(DataError, match="channels for the baseline; at least 4"):
        spectra.band_map(ds, {"band": (940.0, 980.0)}, side=1.8)
    with pytest.raises(DataError, match="make them narrower"):
        spectra.band_map(ds, {"band": (890.0, 980.0)}, side=10.0)


def test_estimator_is_blind_to_straight_lines():
    axis = np.arange(30.0)
    estimator = coefficients(axis, Windows((12.0, 16.0), (5.0, 9.0), (20.0, 22.0)), np.ones(30), "line")
    assert abs(estimator @ (3.0 - 0.7 * axis)) < 1e-9
