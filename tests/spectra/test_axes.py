"""What an axis of a file is, from its name, its unit and the technique; and energies that are none of X-rays."""

from __future__ import annotations

import numpy as np
import pytest
from hyperspy.signals import Signal1D

import spectra
from fusion import FileReadError, UnitError
from spectra.attributes import flat_attrs, variable_of
from spectra.axes import dim_name, parse_unit, split_unit
from tests.makers import nexus


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (r"\u00B5m", "um"), ("&mu;m", "um"), (r"$\mu$m", "um"), ("Âµm", "um"), ("Energy [keV]", "keV"),
        ("Photon energy (eV)", "eV"), ("Raman shift / cm-1", "1/cm"), ("cm$^{-1}$", "1/cm"), ("Wavelength, nm", "nm"),
        ("<undefined>", "px"), (r"\xb0", "degree"),
    ],
)  # fmt: skip
def test_a_unit_with_escapes_or_behind_a_label(text, unit):
    assert parse_unit(text) == unit


def test_a_unit_in_brackets_of_its_own_stays():
    assert split_unit("1/(cm)") == ("", "1/(cm)")


@pytest.mark.parametrize(
    ("name", "unit", "signal", "dim"),
    [
        ("y", "eV", "EELS", "energy_loss"), ("x", "eV", "EDS_SEM", "energy"), ("x", "cm-1", "", "raman_shift"),
        ("z", "°", "", "tilt"), ("z", "rad", "", "tilt"), ("", "Energy loss (keV)", "", "energy_loss"),
        ("Energy (keV)", "", "EDS_TEM", "energy"), ("x", "px", "", "x"), ("z", "nm", "", "z"),
    ],
)  # fmt: skip
def test_a_name_of_space_gives_way_to_a_unit_that_is_no_length(name, unit, signal, dim):
    assert dim_name(name, unit, signal) == dim


@pytest.mark.parametrize("unit", ["mrad", "deg", "1/nm"])
def test_a_plane_of_diffraction_is_no_plane_of_the_specimen(unit):
    with pytest.raises(UnitError):
        spectra.from_hyperspy(Signal1D(np.ones((2, 3)), axes=axes("x", unit)))


def axes(name, unit, first=1.5, step=0.1):
    space = {"name": "y", "size": 2, "units": "nm", "scale": 5.0}
    return [space, {"name": name, "units": unit, "size": 3, "offset": first, "scale": step}]


@pytest.mark.parametrize("signal", ["", "CL_SEM", "Luminescence", "PL"])
@pytest.mark.parametrize(("name", "unit", "scale"), [("Energy", "eV", 1.0), ("Photon energy", "meV", 1e3)])
def test_light_is_not_taken_for_x_rays(signal, name, unit, scale):
    signal1d = Signal1D(np.ones((2, 3)), axes=axes(name, unit, 1.5 * scale, 0.1 * scale))
    signal1d.metadata.Signal.signal_type = signal
    with pytest.raises(UnitError, match="energy of light"):
        spectra.from_hyperspy(signal1d)


def test_light_in_a_file_is_not_taken_for_x_rays(tmp_path):
    path = nexus.write(tmp_path / "a.nxs", [nexus.Y, ("energy", np.array([1.9, 2.0, 2.1]), "eV")])
    with pytest.raises(FileReadError, match=r"goes from 1\.9 to 2\.1 eV"):
        spectra.open(path)


def test_x_rays_of_absorption_stay_energies(tmp_path):
    path = nexus.write(tmp_path / "a.nxs", [nexus.Y, ("energy", np.array([8970.0, 8980.0]), "eV")])
    np.testing.assert_allclose(spectra.open(path)["energy"], [8.97, 8.98])


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_whole_numbers_alone_are_no_counts(dtype):
    assert variable_of(("x", "energy"), np.dtype(dtype), counted=False) == ("intensity", "mean")
    assert variable_of(("x", "energy_loss"), np.dtype(dtype), counted=True) == ("intensity", "mean")
    assert variable_of(("x", "energy"), np.dtype(dtype), counted=True) == ("counts", "sum")


@pytest.mark.parametrize(
    ("value", "unit", "right"),
    [(200.0, "", 200.0), (200.0, "kV", 200.0), (2e5, "V", 200.0), (1.5e4, "eV", 15.0), (0.3, "MV", 300.0),
     ("200,5", "", 200.5), (2e5, "", None), (20.0, "furlong", None)],
)  # fmt: skip
def test_beam_energy_goes_with_its_unit(value, unit, right):
    microscope = {"beam_energy": value, **({"beam_energy_units": unit} if unit else {})}
    attrs = flat_attrs({"Acquisition_instrument": {"SEM": microscope}}, {}, ("x", "energy"))
    assert attrs.get("beam_energy") == (pytest.approx(right) if right else None)
