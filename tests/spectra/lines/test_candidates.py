"""What peaks are named: X-ray lines by the detector's width, Raman bands by their table, elements by their ratios."""

import json

import numpy as np
import pytest

import fusion
import spectra
from fusion import Axis, DataError
from spectra.lines.bands import raman_bands
from spectra.lines.xrays import family, width, xray_line, xray_lines
from spectra.quiet import register_exspy

RNG = np.random.default_rng(7)
ENERGY = 0.01 * np.arange(10, 2000)
SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def spectrum(amounts, resolution=130.0, continuum=20.0):
    """Return expected counts of shells, {"Fe_K": counts of the strongest line}, over a falling continuum."""
    total = continuum * np.exp(-ENERGY / 5.0)
    for shell, amount in amounts.items():
        for line in family(*shell.split("_")):
            sigma = float(width(line.energy, resolution)) / SIGMA
            height = amount * line.weight * 0.01 / (sigma * np.sqrt(2.0 * np.pi))
            total = total + height * np.exp(-0.5 * ((ENERGY - line.energy) / sigma) ** 2)
    return total


def as_map(counts, **attrs):
    counts = np.atleast_2d(counts)
    axes = {"x": Axis("um", 1.0), "energy": Axis("keV", values=ENERGY)}
    values = {"counts": (("x", "energy"), counts, {"units": "count"})}
    return fusion.dataset(values, axes, name="map", cell_methods="sum", attrs=attrs)


def raman(values, shift):
    axes = {"x": Axis("um", 1.0), "raman_shift": Axis("1/cm", values=shift)}
    return fusion.dataset({"intensity": (("x", "raman_shift"), values[None])}, axes, name="map", cell_methods="mean")


def test_width_is_that_of_exspy():
    register_exspy()
    from exspy._misc.eds.utils import get_FWHM_at_Energy

    for energy in (0.28, 1.74, 5.8987, 15.0):
        assert float(width(energy, 133.0)) == pytest.approx(get_FWHM_at_Energy(133.0, energy), rel=1e-12)


def test_lines_that_overlap_are_listed_nearest_first():
    ds = as_map(RNG.poisson(spectrum({"S_K": 1e5})))
    found = [line.name for line in spectra.identify(ds, resolution=130.0, elements=("S", "Mo", "Pb"))]
    assert found == ["S_Ka", "Mo_La", "Pb_Ma"]
    assert [line.name for line in spectra.identify(ds, tolerance=0.01, elements=("S", "Mo", "Pb"))] == ["S_Ka"]


def test_resolution_is_taken_from_the_metadata():
    told = {"Acquisition_instrument": {"SEM": {"Detector": {"EDS": {"energy_resolution_MnKa": 260.0}}}}}
    counts = RNG.poisson(spectrum({"S_K": 1e5}, 260.0))
    among = ("S", "Mo", "Pb", "Bi")
    broad = spectra.identify(as_map(counts, metadata=json.dumps(told)), elements=among, prominence=0.2)
    assert {line.name for line in broad} == {"S_Ka", "Mo_La", "Pb_Ma", "Bi_Ma"}
    narrow = spectra.identify(as_map(counts), elements=among, prominence=0.2)
    assert {line.name for line in narrow} == {"S_Ka", "Mo_La", "Pb_Ma"}


def test_lines_of_a_measured_map(measured):
    ds = spectra.open(measured("edx/test_TEM.bcf"))
    lines = spectra.identify(ds, elements=("Cu", "O", "Pd", "Ti", "Fe"))
    assert [(line.component, line.name) for line in lines] == [(0, "O_Ka"), (0, "Ti_Ka")]
    assert max(abs(line.distance) for line in lines) < 0.005


def test_lines_of_endmembers():
    pure = np.stack([spectrum({"Si_K": 1.0}, continuum=0.0), spectrum({"Fe_K": 1.0}, continuum=0.0)])
    share = RNG.uniform(size=(12, 2))
    share[:2] = np.eye(2)
    found = spectra.identify(spectra.decompose(as_map(share @ pure * 500.0), 2), elements=("Si", "Fe"))
    named = {(line.component, line.name) for line in found if line.height > 0.5}
    assert named in ({(0, "Si_Ka"), (1, "Fe_Ka")}, {(1, "Si_Ka"), (0, "Fe_Ka")})


def test_raman_bands_are_named_with_their_source():
    shift = np.arange(200.0, 1500.0, 1.0)
    values = np.exp(-(((shift - 521.0) / 3.0) ** 2)) + 0.5 * np.exp(-(((shift - 1331.5) / 3.0) ** 2))
    found = spectra.identify(raman(values, shift), materials=("silicon", "diamond"))
    assert [(band.name.partition(":")[0], band.position) for band in found] == [("silicon", 521.0), ("diamond", 1331.0)]
    assert "Itoh" in found[0].reference
    near = spectra.identify(raman(values, shift))
    distances = [abs(band.distance) for band in near if band.position == 521.0]
    assert distances == sorted(distances)
    assert len(distances) > 1


def test_cartilage_shows_the_bands_of_its_protein(measured):
    ds = spectra.baseline(spectra.open(measured("raman/chondro.nc")), lam=1e5)
    found = {band.name for band in spectra.identify(ds, materials=("protein", "collagen", "lipid"))}
    assert {"protein: phenylalanine ring breathing", "lipid: CH2 deformation"} <= found
    assert any("amide I" in name for name in found)


def test_every_band_has_a_source_and_a_place():
    bands = raman_bands()
    assert 40 <= len(bands) <= 80
    shifts = [band.raman_shift for band in bands]
    assert shifts == sorted(shifts)
    assert 50.0 < min(shifts) < max(shifts) < 4000.0
    assert all(len(band.reference) > 20 and any(digit in band.reference for digit in "0123456789") for band in bands)
    assert len({(band.raman_shift, band.material) for band in bands}) == len(bands)


def test_axes_and_options_that_do_not_fit_are_refused():
    ds = as_map(spectrum({"Fe_K": 100.0}))
    with pytest.raises(DataError, match="materials are for Raman bands"):
        spectra.identify(ds, materials=("calcite",))
    shift = np.linspace(200.0, 1500.0, 50)
    with pytest.raises(DataError, match="elements and resolution are for X-ray lines"):
        spectra.identify(raman(np.ones(50), shift), elements=("Fe",))
    axes = {"x": Axis("um", 1.0), "wavelength": Axis("nm", 1.0, 400.0)}
    cl = fusion.dataset({"intensity": (("x", "wavelength"), np.ones((2, 9)))}, axes, name="cl", cell_methods="mean")
    with pytest.raises(DataError, match=r"need an energy axis.*raman_shift"):
        spectra.identify(cl)
    with pytest.raises(DataError, match="no X-ray line 'Fe_Kx'; known are Fe_K"):
        xray_line("Fe_Kx")


COMPOSITIONS = [
    ({"Fe_K": 2e4, "Ni_K": 1e4, "Cr_K": 8e3}, {"Fe", "Ni", "Cr"}),
    ({"Ti_K": 5e4, "O_K": 2e4}, {"Ti", "O"}),
    ({"Si_K": 5e4, "Al_K": 2e4, "K_K": 1e4, "O_K": 5e4}, {"Si", "Al", "K", "O"}),
    ({"Pb_L": 2e4, "Pb_M": 5e4}, {"Pb"}),
    ({"Zn_K": 9e3, "Ga_K": 9e3, "As_K": 9e3, "Zn_L": 9e3, "Ga_L": 9e3, "As_L": 9e3}, {"Zn", "Ga", "As"}),
]


@pytest.mark.parametrize(("amounts", "truth"), COMPOSITIONS, ids=lambda value: "".join(sorted(value)))
@pytest.mark.parametrize("seed", range(3))
def test_elements_of_known_spectra_come_first(amounts, truth, seed):
    counts = np.random.default_rng(seed).poisson(spectrum(amounts))
    found = spectra.find_elements(as_map(counts, beam_energy=25.0), resolution=130.0)
    assert {one.element for one in found[: len(truth)]} == truth
    assert all(one.score > 0.8 for one in found[: len(truth)])


def test_a_line_that_another_element_explains_is_not_counted_twice():
    titanium = as_map(RNG.poisson(spectrum({"Ti_K": 5e4})))
    assert [one.element for one in spectra.find_elements(titanium, resolution=130.0, beam_energy=20.0)] == ["Ti"]
    both = as_map(RNG.poisson(spectrum({"Ti_K": 5e4, "V_K": 2e4})))
    found = spectra.find_elements(both, resolution=130.0, beam_energy=20.0)
    assert {one.element for one in found} == {"Ti", "V"}


def test_a_missing_beta_line_counts_against_an_element():
    lone = spectrum({}) + 2e3 * np.exp(-0.5 * ((ENERGY - 6.404) / 0.0575) ** 2)
    found = spectra.find_elements(
        as_map(RNG.poisson(lone)), resolution=130.0, beam_energy=20.0, among=["Fe"], least=0.0
    )
    assert found[0].score < 0.3
    assert found[0].missing == ("Fe_Kb",)


def test_lines_above_the_beam_energy_are_not_asked():
    ds = as_map(RNG.poisson(spectrum({"Cu_L": 2e4})))
    assert spectra.find_elements(ds, resolution=130.0, beam_energy=5.0, among=["Cu"])[0].score > 0.9
    assert spectra.find_elements(ds, resolution=130.0, beam_energy=30.0, among=["Cu"]) == []


def test_elements_of_each_endmember():
    pure = np.stack([spectrum({"Si_K": 1e3}), spectrum({"Fe_K": 1e3})])
    share = RNG.uniform(size=(30, 2))
    share[:2] = np.eye(2)
    result = spectra.decompose(as_map(RNG.poisson(share @ pure * 5.0)), 2)
    first = {
        one.component: one.element
        for one in reversed(spectra.find_elements(result, resolution=130.0, beam_energy=20.0))
    }
    assert set(first.values()) == {"Si", "Fe"}


def test_elements_of_measured_maps(measured):
    told = {
        "edx/P45_the_default_job.bcf": {"Al", "Fe", "Ca", "O", "Mg", "Na", "Si", "K"},
        "edx/test_TEM.bcf": {"O", "Ti", "Si", "Pd"},
    }
    for name, expected in told.items():
        found = spectra.find_elements(spectra.open(measured(name)), resolution=130.0)
        assert expected <= {one.element for one in found if one.score > 0.8}
        assert len(found) <= len(expected) + 3


def test_elements_need_what_is_not_in_the_file():
    ds = as_map(spectrum({"Fe_K": 1e3}))
    with pytest.raises(DataError, match=r"does not state the energy resolution; give it in eV"):
        spectra.find_elements(ds, beam_energy=20.0)
    with pytest.raises(DataError, match="does not state the beam energy"):
        spectra.find_elements(ds, resolution=130.0)
    with pytest.raises(DataError, match=r"lies between 121 and 1000 eV; received 0.13"):
        spectra.find_elements(ds, resolution=0.13, beam_energy=20.0)
    with pytest.raises(DataError, match="negative or not finite"):
        spectra.find_elements(as_map(spectrum({}) - 10.0), resolution=130.0, beam_energy=20.0)
    with pytest.raises(DataError, match="along energy"):
        spectra.find_elements(raman(np.ones(9), np.arange(9.0)), resolution=130.0, beam_energy=20.0)


def test_an_empty_map_has_no_elements():
    assert spectra.find_elements(as_map(np.zeros(ENERGY.size)), resolution=130.0, beam_energy=20.0) == []
    assert spectra.identify(as_map(np.zeros(ENERGY.size))) == []


def test_every_line_has_a_family():
    assert all(line.family in "KLM" for line in xray_lines().values())


def test_an_infinite_value_is_refused_by_name():
    counts = spectrum({"Fe_K": 5000.0})
    counts[100] = np.inf
    with pytest.raises(DataError, match="counts: values that are not finite"):
        spectra.identify(as_map(counts), resolution=130.0)
