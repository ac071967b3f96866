"""Names of elements: one fit shares the counts, evidence is shown, and what a crop hides is said."""

import json

import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Axis
from spectra.lines.response import Detector, escape_fraction, gaussians, shells, sum_peaks
from spectra.lines.search import _Search
from spectra.lines.settings import find_resolution
from spectra.lines.sharing import Spectrum
from spectra.lines.xrays import channel_edges, family, profile

ENERGY = 0.01 * np.arange(20, 1500)


def as_map(amounts, *, energy=ENERGY, seed=0, level=30.0, **attrs):
    """Return one pixel with Poisson counts of shells, {"Fe_K": counts of the strongest line}, over a continuum."""
    edges = channel_edges(energy)
    expected = level * np.exp(-energy / 6.0)
    for shell, amount in amounts.items():
        expected = expected + amount * sum(
            line.weight * profile(line, edges, 130.0) for line in family(*shell.split("_"))
        )
    counts = np.random.default_rng(seed).poisson(expected)[None]
    axes = {"x": Axis("um", 1.0), "energy": Axis("keV", values=energy)}
    values = {"counts": (("x", "energy"), counts, {"units": "count"})}
    return fusion.dataset(values, axes, name="map", cell_methods="sum", attrs={"beam_energy": 20.0, **attrs})


def test_overlapping_elements_share_the_counts():
    truth = {"Ti_K": 3e4, "V_K": 1e4, "Cr_K": 3e4, "Mn_K": 5e3}
    ds = as_map(truth)
    found = {one.element: one for one in spectra.find_elements(ds, resolution=130.0)}
    assert list(found) == ["Cr", "Ti", "V", "Mn"]
    for shell, amount in truth.items():
        one = found[shell[:-2]]
        expected = amount * sum(line.weight for line in family(one.element, "K"))
        assert abs(one.counts - expected) < 4.0 * one.error
    assert sum(one.counts for one in found.values()) <= float(ds["counts"].sum())
    assert found["V"].evidence[0].line == "V_Ka"
    assert "V: " in str(found["V"])


def test_counts_of_elements_never_exceed_those_of_the_spectrum():
    for seed in range(3):
        ds = as_map({"S_K": 400.0, "Mo_L": 400.0, "Pb_M": 400.0}, seed=seed, level=0.0)
        found = spectra.find_elements(ds, resolution=130.0, least=0.0)
        assert 0.9 * float(ds["counts"].sum()) < sum(one.counts for one in found) <= float(ds["counts"].sum()) + 1e-6


def test_lines_that_cannot_be_separated_name_the_alternatives():
    found = spectra.find_elements(as_map({"Al_K": 50.0}, level=0.3), resolution=130.0, least=0.0)
    assert found[0].element == "Al"
    assert found[0].alternatives


def test_what_a_crop_hides_is_said():
    whole = as_map({"Ba_L": 2e4})
    cropped = spectra.crop(whole, energy=(4.3, 4.7))
    named = spectra.find_elements(cropped, resolution=130.0, least=0.0)
    assert "Ba" in {one.element for one in spectra.find_elements(whole, resolution=130.0)}
    assert all(one.hidden for one in named)
    assert "not on the axis" in str(named[0])


def test_soft_lines_alone_name_nothing_whose_hard_lines_are_missing():
    names = {one.element for one in spectra.find_elements(as_map({"F_K": 5e3}), resolution=130.0)}
    assert names == {"F"}


def test_elements_that_the_file_names_need_less_evidence():
    faint = {"Pd_L": 80.0}
    without = spectra.find_elements(as_map(faint, seed=3), resolution=130.0)
    named = spectra.find_elements(as_map(faint, seed=3, elements=["Pd"]), resolution=130.0)
    assert without == []
    assert [(one.element, one.named_by_file) for one in named] == [("Pd", True)]
    assert "named by the file" in str(named[0])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"Spectrum": {"SigmaAbs": 0.0002286813269, "SigmaLin": 0.0004466391048}}, 126.0),
        ({"Detectors": {"Detector-4": {"ElectronicsNoise": "31"}, "Detector-0": {}}}, 125.3),
        ({"Spectrum": {"SigmaAbs": "odd"}}, None),
    ],
)
def test_resolution_is_read_from_the_header(header, expected):
    resolution = find_resolution(xr.Dataset(attrs={"original_metadata": json.dumps(header)}))
    assert resolution == (expected if expected is None else pytest.approx(expected, abs=0.1))


def test_derivatives_of_a_line_are_those_of_differences():
    edges, sigma, step = np.linspace(0.0, 3.0, 61), np.array([0.2]), 1e-5
    _, slope, broad = gaussians(edges, np.array([1.1]), sigma)
    moved = [gaussians(edges, np.array([1.1 + sign * step]), sigma)[0] for sign in (1, -1)]
    wider = [gaussians(edges, np.array([1.1]), sigma + sign * step)[0] for sign in (1, -1)]
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(broad, (wider[0] - wider[1]) / (2 * step), atol=1e-6)


def test_escape_and_sum_peaks_lie_where_they_should():
    edges = np.arange(0.0, 15.0, 0.01)
    iron = shells("Fe", edges, 20.0, Detector(130.0))[0]
    centres = (edges[1:] + edges[:-1]) / 2.0
    near = abs(centres - (6.4039 - 1.7397)) < 0.1
    share = iron.shape[near].sum() / iron.profiles[0].sum()
    assert share == pytest.approx(float(escape_fraction(np.array([6.4039]))[0]), rel=0.1)
    pairs = sum_peaks(1e3 * iron.shape, edges)
    assert abs(centres[pairs.argmax()] - 2 * 6.4039) < 0.02
    assert pairs.sum() == pytest.approx(1e3, rel=0.02)


def test_measured_files(measured):
    expected = {
        "edx/test_TEM.bcf": {"Pd", "Ti", "Cu", "O"},
        "edx/P45_the_default_job.bcf": {"O", "Na", "Mg", "Al", "Si", "K", "Ca", "Ti", "Fe"},
    }
    for name, elements in expected.items():
        ds = spectra.open(measured(name), name="EDX")
        found = spectra.find_elements(ds)
        total = float(ds["counts"].sum())
        assert elements <= {one.element for one in found}, name
        assert sum(one.counts for one in found) <= total
        assert all(one.evidence for one in found if one.counts > 0.03 * total)


@pytest.mark.parametrize(("start", "offset"), [(0.215, -0.02), (0.23, 0.02)])
def test_a_corrected_energy_scale_takes_an_element_off_the_axis_or_brings_one_onto_it(start, offset):
    # boron has its only line at 0.183 keV, and is sought with 5 % of its counts on the axis
    edges = np.arange(start, 3.0, 0.01)
    flat = np.full(edges.size - 1, 50.0)
    search = _Search(Spectrum(edges, flat, 0.0 * flat, beam=20.0), 130.0, named=(), among=("B", "Si"))
    assert ("B" in search.library) == (offset < 0)
    search.present = [*search.library]
    search._use(Detector(130.0, offset))
    assert ("B" in search.library) == (offset > 0)
    assert search.present == ["Si"]
    assert set(search.hidden) == {"B", "Si"}
