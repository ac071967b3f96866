"""Fits of line families: amounts that are known, errors that cover, lines that overlap."""

import dask.array as da
import numpy as np
import pytest

import fusion
import spectra
from fusion import Axis, DataError
from spectra.lines.xrays import channel_edges, family, profile

ENERGY = 0.01 * np.arange(60, 1000)


def expected(amounts):
    """Return expected counts of shells, {"Fe_K": counts of the strongest line}, over a curved continuum."""
    edges = channel_edges(ENERGY)
    total = 4.0 * np.exp(-ENERGY / 4.0) + 0.3
    for shell, amount in amounts.items():
        total = total + amount * sum(line.weight * profile(line, edges, 130.0) for line in family(*shell.split("_")))
    return total


def as_map(counts, **options):
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", values=ENERGY)}
    options = {"cell_methods": "sum", "attrs": {"beam_energy": 20.0}, **options}
    return fusion.dataset({"counts": (("y", "x", "energy"), counts, {"units": "count"})}, axes, name="map", **options)


TRUTH = {"Mn_K": 400.0, "Fe_K": 900.0, "Co_K": 300.0}


@pytest.fixture(scope="module")
def draws():
    return as_map(np.random.default_rng(1).poisson(expected(TRUTH), (25, 40, ENERGY.size)))


def test_overlapping_lines_are_told_apart_and_errors_cover(draws):
    found = spectra.fit_lines(draws, ["Mn", "Fe", "Co"], resolution=130.0)
    for shell, truth in TRUTH.items():
        amount, error = found[f"{shell}a"], found[f"{shell}a_stderr"]
        assert float(amount.mean()) == pytest.approx(truth, rel=0.02)
        assert float(amount.std()) == pytest.approx(float(error.mean()), rel=0.08)
        z = (amount - truth) / error
        assert 0.62 < float((abs(z) < 1.0).mean()) < 0.73
        assert 0.92 < float((abs(z) < 2.0).mean()) < 0.98
    assert found.attrs["reduced_chi_square"] < 4.0
    # the window of Co takes Fe Kβ for Co
    window = spectra.line_map(draws, "Co_Ka", resolution=130.0)["Co_Ka"]
    assert abs(float(window.mean()) - TRUTH["Co_K"]) > 2 * abs(float(found["Co_Ka"].mean()) - TRUTH["Co_K"])


def test_noiseless_amounts_of_uneven_pixels():
    shares = np.array([[0.0, 1.0, 2.0]])
    counts = shares[..., None] * (expected({"Fe_K": 50.0}) - expected({})) + expected({})
    found = spectra.fit_lines(as_map(counts), ["Fe"], resolution=130.0, nonnegative=False)["Fe_Ka"].values
    np.testing.assert_allclose(np.diff(found), [[50.0, 50.0]], rtol=1e-6)


def test_an_element_that_is_not_there_is_zero_within_its_error():
    counts = np.random.default_rng(2).poisson(expected({"Fe_K": 500.0}), (20, 20, ENERGY.size))
    free = spectra.fit_lines(as_map(counts), ["Fe", "Cu"], resolution=130.0, nonnegative=False)
    error = float((free["Cu_Ka_stderr"] ** 2).sum()) ** 0.5
    assert abs(float(free["Cu_Ka"].sum())) < 5.0 * error
    bound = spectra.fit_lines(as_map(counts), ["Fe", "Cu"], resolution=130.0)
    assert float(bound["Cu_Ka"].min()) == 0.0
    assert float(bound["Cu_Ka"].sum()) > float(free["Cu_Ka"].sum())


def test_bounded_pixels_are_those_of_scipy_on_the_whole_problem():
    from scipy.optimize import nnls

    from spectra.lines.fit import _fit_pixels

    rng = np.random.default_rng(3)
    shapes, weight = rng.uniform(size=(4, 30)), rng.uniform(1.0, 3.0, 30)
    matrix = rng.poisson(1.0, (20, 30)).astype(float)
    ours = _fit_pixels(shapes, matrix, weight, nonnegative=True)
    root = np.sqrt(weight)
    theirs = [nnls((shapes / root).T, row / root)[0] for row in matrix]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    assert (ours == 0).any()


def test_lazy_and_sparse_maps_agree_with_dense_ones():
    counts = np.random.default_rng(4).poisson(0.02 * expected(TRUTH), (6, 7, ENERGY.size))
    lazy = as_map(da.from_array(counts, chunks=(3, 4, 200)))
    ours, theirs = (spectra.fit_lines(ds, ["Mn", "Fe", "Co"], resolution=130.0) for ds in (lazy, as_map(counts)))
    np.testing.assert_allclose(ours["Fe_Ka"], theirs["Fe_Ka"], atol=1e-9)


def test_labels_and_links(draws):
    found = spectra.fit_lines(draws.isel(y=slice(0, 2)), "Fe", resolution=130.0)
    assert set(found.data_vars) == {"Fe_Ka", "Fe_Ka_stderr", "Fe_La", "Fe_La_stderr", "model", "background"}
    assert found["Fe_Ka"].attrs["ancillary_variables"] == "Fe_Ka_stderr"
    assert found["model"].dims == ("energy",)
    assert fusion.check(found) is found


def test_measured_maps(measured):
    ds = spectra.crop(spectra.open(measured("edx/P45_the_default_job.bcf")), energy=(0.3, 10.0))
    present = ["O", "Na", "Mg", "Al", "Si", "K", "Ca", "Ti", "Fe"]
    found = spectra.fit_lines(ds, present, resolution=130.0, nonnegative=False)
    window = spectra.line_map(ds, ["K_Ka", "Fe_Ka"], resolution=130.0).compute()
    for name in ("K_Ka", "Fe_Ka"):
        error = float((found[f"{name}_stderr"] ** 2).sum() + (window[f"{name}_stderr"] ** 2).sum()) ** 0.5
        assert abs(float(found[name].sum() - window[name].sum())) < max(5.0 * error, 0.1 * float(found[name].sum()))
    assert float(found["model"].sum()) == pytest.approx(float(ds["counts"].sum()), rel=0.02)


@pytest.mark.parametrize(
    ("elements", "options", "message"),
    [
        (["Fe"], {"resolution": None}, "does not state the energy resolution"),
        (["Xx"], {}, "there is no element 'Xx'"),
        (["He"], {}, "He has no strong line"),
        (["Cu"], {"beam_energy": 0.7}, "Cu has no strong line"),
        ([], {}, "name at least one element"),
        (["Fe"], {"background": -1}, "degree of a polynomial"),
        (["Fe"], {"beam_energy": -1.0}, "positive number of keV"),
    ],
)
def test_refusals(elements, options, message):
    with pytest.raises(DataError, match=message):
        spectra.fit_lines(as_map(np.ones((2, 2, ENERGY.size))), elements, **{"resolution": 130.0, **options})


@pytest.mark.parametrize(
    ("value", "cell_methods", "message"),
    [(np.nan, "sum", "NaN"), (-1.0, "sum", "negative values"), (1.0, "mean", "counts"), (0.0, "sum", "no counts")],
)
def test_values_that_are_no_counts_are_refused(value, cell_methods, message):
    counts = np.full((2, 2, ENERGY.size), value if value == 0.0 else 1.0)
    counts[0, 0, 5] = value
    with pytest.raises(DataError, match=message):
        spectra.fit_lines(as_map(counts, cell_methods=cell_methods), ["Fe"], resolution=130.0)


def test_shells_of_one_shape_are_refused():
    from spectra.lines.fit import _require_apart

    shape = np.exp(-(np.linspace(-2.0, 2.0, 30) ** 2))
    with pytest.raises(DataError, match="O_Ka and V_La have the same shape at this resolution"):
        _require_apart(["O_Ka", "Fe_Ka", "V_La"], np.stack([shape, shape[::-1] * np.arange(30.0), 2.0 * shape]))


def test_one_spectrum_and_one_pixel_are_fitted_alike():
    counts = np.random.default_rng(5).poisson(expected({"Fe_K": 3e3, "Ni_K": 2e3}))
    axes = {"energy": Axis("keV", values=ENERGY)}
    alone = fusion.dataset({"counts": (("energy",), counts, {"units": "count"})}, axes, name="spectrum")
    found, pixel = (
        spectra.fit_lines(ds, ["Fe", "Ni"], resolution=130.0, beam_energy=20.0)
        for ds in (alone, as_map(counts[None, None]))
    )
    assert found["Fe_Ka"].dims == ()
    assert float(found["Fe_Ka"]) == pytest.approx(float(pixel["Fe_Ka"].sum()), rel=1e-9)
    share = spectra.quantify(
        found.drop_vars([name for name in found.data_vars if "La" in name]),
        method="CL",
        factors={"Fe_Ka": 1.0, "Ni_Ka": 1.0},
    )
    assert share["atomic_fraction"].dims == ("component",)


def test_too_few_channels_are_refused():
    ds = as_map(np.ones((2, 2, ENERGY.size))).isel(energy=slice(575, 582))
    with pytest.raises(DataError, match="7 channels show no continuum"):
        spectra.fit_lines(ds, ["Fe"], resolution=130.0)
    with pytest.raises(DataError, match="resolution at Mn Kα lies between 121 and 1000 eV; received '130 eV'"):
        spectra.fit_lines(ds, ["Fe"], resolution="130 eV")


def test_errors_cover_weights_that_are_off_by_their_stated_error():
    # S Kα lies on the lines of Mo L: where the weight of Mo Lβ is off, its counts go to S
    truth, energy, rng = {"S_K": 3e4, "Mo_L": 5e4}, ENERGY[60:400], np.random.default_rng(8)
    edges, deviations = channel_edges(energy), {"S_Ka": [], "Mo_La": []}
    for _ in range(60):
        total = np.full(energy.size, 40.0)
        for shell, amount in truth.items():
            for line in family(*shell.split("_")):
                weight = line.weight + line.weight_stderr * rng.standard_normal()
                total = total + amount * max(weight, 0.0) * profile(line, edges, 130.0)
        axes = {"energy": Axis("keV", values=energy)}
        counts = {"counts": (("energy",), rng.poisson(total), {"units": "count"})}
        fitted = spectra.fit_lines(
            fusion.dataset(counts, axes, name="spectrum"), ["S", "Mo"], resolution=130.0, beam_energy=15.0
        )
        for name in deviations:
            deviations[name].append(float(fitted[name] - truth[f"{name[:-1]}"]) / float(fitted[f"{name}_stderr"]))
    for z in map(np.array, deviations.values()):
        assert (abs(z) < 1.96).mean() > 0.86
        assert 0.75 < z.std() < 1.25
