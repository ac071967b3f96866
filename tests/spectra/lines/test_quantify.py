"""Composition and its error: against eXspy's formulas and repeated draws."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Axis, DataError, provenance
from spectra.lines.xrays import channel_edges, profile, xray_line
from spectra.quiet import register_exspy

LINES = {"Al_Ka": 0.98, "Cr_Ka": 1.32, "Ni_Ka": 1.60}
DOSE = {"beam_current": 1.2, "live_time": 0.05}


def as_maps(counts, errors=None, *, lazy=False, drop=()):
    """Return line maps (line, y, x) with Poisson errors."""
    told = {"units": "count", "cell_methods": "y: x: sum"}
    errors = np.sqrt(counts) if errors is None else errors
    variables = {}
    for name, values, error in zip(LINES, counts, errors, strict=True):
        put = (lambda array: da.from_array(array, chunks=(1, 2))) if lazy else np.asarray
        linked = {} if name in drop else {"ancillary_variables": f"{name}_stderr"}
        variables[name] = (("y", "x"), put(values), {**told, **linked})
        if linked:
            variables[f"{name}_stderr"] = (("y", "x"), put(error), told)
    return fusion.dataset(variables, {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)}, name="maps", frame="stage")


COUNTS = np.random.default_rng(0).uniform(200.0, 4000.0, (3, 2, 4))


def exspy():
    register_exspy()
    from exspy._misc.eds import utils

    return utils


def test_weight_fractions_are_those_of_exspy():
    found = spectra.quantify(as_maps(COUNTS), method="CL", factors=LINES, units="weight")["weight_fraction"]
    theirs = exspy().quantification_cliff_lorimer(COUNTS.copy(), list(LINES.values()))
    np.testing.assert_allclose(found.values, np.moveaxis(theirs, 0, -1), rtol=1e-12)
    assert list(found["component"].values) == ["Al", "Cr", "Ni"]


def test_zeta_is_that_of_exspy():
    zeta = {name: 300.0 * factor for name, factor in LINES.items()}
    found = spectra.quantify(as_maps(COUNTS), method="zeta", factors=zeta, units="weight", **DOSE)
    electrons = 1.2e-9 * 0.05 / 1.602176634e-19
    share, thickness = exspy().quantification_zeta_factor(COUNTS, list(zeta.values()), electrons)
    np.testing.assert_allclose(found["weight_fraction"], np.moveaxis(share, 0, -1), rtol=1e-12)
    np.testing.assert_allclose(found["mass_thickness"], thickness, rtol=1e-9)
    assert fusion.units.is_compatible(found["mass_thickness"].attrs["units"], "kg/m**2")


def test_cross_sections_are_those_of_exspy():
    sections = {"Al_Ka": 30.0, "Cr_Ka": 24.0, "Ni_Ka": 15.0}
    found = spectra.quantify(as_maps(COUNTS), method="cross_section", factors=sections, dose=1e7, probe_area=25.0)
    share, atoms = exspy().quantification_cross_section(COUNTS, list(sections.values()), 1e7 / 25.0)
    np.testing.assert_allclose(found["atomic_fraction"], np.moveaxis(share, 0, -1), rtol=1e-12)
    np.testing.assert_allclose(found["atoms"], np.moveaxis(atoms, 0, -1), rtol=1e-12)


def test_zeta_and_cross_sections_that_belong_together_agree():
    zeta = dict(zip(LINES, exspy().cross_section_to_zeta([30.0, 24.0, 15.0], ["Al", "Cr", "Ni"]), strict=True))
    sections = {"Al_Ka": 30.0, "Cr_Ka": 24.0, "Ni_Ka": 15.0}
    first = spectra.quantify(as_maps(COUNTS), method="zeta", factors=zeta, dose=1e7)
    second = spectra.quantify(as_maps(COUNTS), method="cross_section", factors=sections, dose=1e7, probe_area=9.0)
    for name in ("atomic_fraction", "atomic_fraction_stderr"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4)


def test_atomic_percent_of_exspy():
    from exspy.material import weight_to_atomic

    weight = spectra.quantify(as_maps(COUNTS), method="CL", factors=LINES, units="weight")["weight_fraction"]
    atomic = spectra.quantify(as_maps(COUNTS), method="CL", factors=LINES)["atomic_fraction"]
    theirs = weight_to_atomic(list(100.0 * np.moveaxis(weight.values, -1, 0)), elements=["Al", "Cr", "Ni"])
    np.testing.assert_allclose(100.0 * np.moveaxis(atomic.values, -1, 0), theirs, rtol=1e-9)


@pytest.mark.parametrize("units", ["atomic", "weight"])
@pytest.mark.parametrize("method", ["CL", "zeta", "cross_section"])
def test_errors_are_the_spread_of_repeated_draws(method, units):
    rng = np.random.default_rng(1)
    factors = {"Al_Ka": 30.0, "Cr_Ka": 24.0, "Ni_Ka": 15.0}
    spread = {"Cr_Ka": 0.8, "Ni_Ka": 0.3}
    known = {"CL": {}, "zeta": {"dose": 1e7}, "cross_section": {"dose": 1e7, "probe_area": 25.0}}[method]
    mean = np.array([900.0, 2500.0, 1600.0])
    told = {"method": method, "factors": factors, "factor_stderr": spread, "units": units, **known}
    once = spectra.quantify(as_maps(mean[:, None, None]), **told)
    # a factor that is off has the same effect as counts that are
    off = np.array([rng.normal(1.0, spread.get(name, 0.0) / factor, (60, 60)) for name, factor in factors.items()])
    counts = rng.poisson(mean[:, None, None], (3, 60, 60)) * (1.0 / off if method == "cross_section" else off)
    found = spectra.quantify(as_maps(counts), **told)
    for name in (name for name in once.data_vars if not name.endswith("_stderr")):
        expected = once[f"{name}_stderr"].values[0, 0]
        np.testing.assert_allclose(found[name].std(("y", "x")), expected, rtol=0.05)
    assert f"{units}_fraction" in once


def test_counting_errors_alone_are_the_spread_of_repeated_draws():
    mean = np.array([900.0, 2500.0, 1600.0])
    counts = np.random.default_rng(2).poisson(mean[:, None, None], (3, 100, 60)).astype(float)
    found = spectra.quantify(as_maps(counts), method="CL", factors=LINES)
    spread = found["atomic_fraction"].std(("y", "x")).values
    np.testing.assert_allclose(found["atomic_fraction_stderr"].mean(("y", "x")).values, spread, rtol=0.03)


def test_lazy_labels_and_history():
    lazy = spectra.quantify(as_maps(COUNTS, lazy=True), method="CL", factors=LINES)
    assert lazy["atomic_fraction"].chunks is not None
    eager = spectra.quantify(as_maps(COUNTS), method="CL", factors=LINES)
    xr.testing.assert_allclose(lazy["atomic_fraction"].compute(), eager["atomic_fraction"])
    assert eager["atomic_fraction"].dims == ("y", "x", "component")
    assert eager["atomic_fraction"].attrs["ancillary_variables"] == "atomic_fraction_stderr"
    assert eager["atomic_fraction"].attrs["cell_methods"] == "y: x: mean"
    assert fusion.get_pose(eager)[1] == "stage"
    np.testing.assert_allclose(eager["atomic_fraction"].sum("component"), 1.0)
    assert provenance.read(eager)["steps"][-1]["parameters"]["factors"] == LINES


def test_empty_and_masked_pixels_are_nan():
    counts = COUNTS.copy()
    counts[:, 0, 0] = 0.0
    counts[1, 1, 1] = np.nan
    zeta = dict.fromkeys(LINES, 300.0)
    found = spectra.quantify(as_maps(counts), method="zeta", factors=zeta, dose=1e7)
    assert found["atomic_fraction"][0, 0].isnull().all()
    assert found["atomic_fraction"][1, 1].isnull().all()
    assert float(found["mass_thickness"][0, 0]) == 0.0
    assert np.isnan(found["mass_thickness"][1, 1])
    assert int(found["atomic_fraction"].isnull().sum()) == 6


def test_from_a_map_to_a_composition_and_a_file(tmp_path):
    energy = 0.01 * np.arange(400, 1000)
    pair = {"Fe_Ka": 900.0, "Ni_Ka": 400.0}
    shape = sum(amount * profile(xray_line(name), channel_edges(energy), 130.0) for name, amount in pair.items())
    counts = np.random.default_rng(3).poisson(shape + 2.0, (3, 4, energy.size))
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", values=energy)}
    ds = fusion.dataset({"counts": (tuple(axes), counts, {"units": "count"})}, axes, name="map", cell_methods="sum")
    maps = spectra.line_map(ds, list(pair), resolution=130.0)
    found = spectra.quantify(maps, method="CL", factors={"Fe_Ka": 1.0, "Ni_Ka": 1.1})
    fusion.save(found, tmp_path / "found.nc")
    again = fusion.load(tmp_path / "found.nc")
    xr.testing.assert_allclose(again["atomic_fraction"], found["atomic_fraction"])
    iron, nickel = 900.0 / 55.845, 440.0 / 58.693
    assert float(again["atomic_fraction"].sel(component="Fe").mean()) == pytest.approx(iron / (iron + nickel), abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": {"Al_Ka": 1.0, "Cr_Ka": 1.0}}, "Ni_Ka have no factor; give one for each element"),
        ({"factors": {**LINES, "Cu_Ka": 1.0}}, "there is no intensity of Cu_Ka"),
        ({"factors": {**LINES, "Al_Kb": 1.0}}, "one line for each of at least two elements"),
        ({"factors": {**LINES, "Ni_Ka": 0.0}}, "factor of Ni_Ka is a positive number"),
        ({"factors": {**LINES, "Ni_Ka": None}}, "factor of Ni_Ka is a positive number; received None"),
        ({"factors": [1.0, 2.0]}, "factors name the line of each"),
        ({"method": "zeta", "dose": "1e7"}, "dose in electrons per pixel is a positive number; received '1e7'"),
        ({"factor_stderr": {"Fe_Ka": 0.1}}, "factor_stderr names Fe_Ka, which has no factor"),
        ({"factor_stderr": {"Ni_Ka": -0.1}}, "is not negative; received -0.1"),
        ({"method": "EPMA"}, "unknown method 'EPMA'; accepted are 'CL', 'zeta', 'cross_section'"),
        ({"units": "percent"}, "unknown units 'percent'"),
        ({"method": "zeta"}, "needs the calibration dose in electrons"),
        ({"method": "zeta", "beam_current": 1.0}, "live_time in s is missing"),
        ({"method": "zeta", "live_time": 1.0}, "beam_current in nA is missing"),
        ({"method": "zeta", "dose": 1e7, "live_time": 1.0}, "either dose or beam_current"),
        ({"method": "zeta", "dose": -1.0}, "dose in electrons per pixel is a positive number"),
        ({"method": "cross_section", "dose": 1e7}, "needs the calibration probe_area in nm"),
        ({"dose": 1e7}, "'CL' has no use for dose"),
    ],
)
def test_missing_calibration_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        spectra.quantify(as_maps(COUNTS), **{"method": "CL", "factors": LINES, **options})


def test_intensities_without_errors_are_refused():
    with pytest.raises(DataError, match="Cr_Ka has no standard error Cr_Ka_stderr"):
        spectra.quantify(as_maps(COUNTS, drop=("Cr_Ka",)), method="CL", factors=LINES)
