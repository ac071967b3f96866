"""NeXus files: every axis named and with units, or refused; values against h5py."""

import json

import h5py
import numpy as np
import pytest

import fusion
import spectra
from fusion import FileReadError
from tests.makers.nexus import X, Y, write

ENERGY = ("energy", np.array([7100.0, 7105.0, 7110.0, 7120.0]), "eV")


def test_map_of_x_ray_spectra(tmp_path):
    counts = np.random.default_rng(1).poisson(3.0, (2, 3, 4)).astype(np.uint32)
    counts[1, 2, 3] = 777
    energy = ("energy", 100.0 + 10.0 * np.arange(4), "eV")
    ds = spectra.open(write(tmp_path / "a.nxs", [Y, X, energy], values=counts))
    assert ds["counts"].dims == ("y", "x", "energy")
    assert ds["counts"].chunks is not None
    assert int(ds["counts"].sel(y=1500.0, x=20.0, energy=0.13, method="nearest")) == 777
    np.testing.assert_array_equal(ds["counts"], counts)
    np.testing.assert_array_equal(ds["y"], [1000.0, 1500.0])
    assert (ds["energy"].attrs["units"], ds["counts"].attrs["units"]) == ("keV", "count")
    assert ds["counts"].attrs["cell_methods"] == "y: x: sum"
    assert fusion.check(ds) is ds


def test_xanes_stack_runs_along_the_incident_energy(tmp_path):
    path = write(tmp_path / "a.nxs", [ENERGY, Y, X], definition="NXxas", signal="counts")
    ds = spectra.open(path)
    with h5py.File(path) as file:
        stored = file["entry/data/counts"][...]
    assert ds["intensity"].dims == ("y", "x", "energy")
    np.testing.assert_array_equal(ds["intensity"], np.moveaxis(stored, 0, -1))
    np.testing.assert_allclose(ds["energy"], [7.1, 7.105, 7.11, 7.12])
    assert ds.attrs["technique"] == "XANES"
    assert json.loads(ds.attrs["original_metadata"])["definition"] == "NXxas"


def test_energies_of_photoelectrons_are_no_x_rays(tmp_path):
    path = write(tmp_path / "a.nxs", [X, ENERGY], definition="NXmpes_arpes")
    with pytest.raises(FileReadError, match=r"its energy is that of electrons .NXmpes_arpes"):
        spectra.open(path)


@pytest.mark.parametrize("unit", ["ps", "fs", "s"])
def test_delays_before_zero_keep_their_sign(tmp_path, unit):
    factor = {"ps": 1e-12, "fs": 1e-15, "s": 1.0}[unit]
    delay = np.array([-2.0, -0.5, 0.0, 1.0, 100.0])
    wavelength = ("wavelength", np.array([700.0, 600.0, 500.0]), "nm")
    path = write(tmp_path / "a.h5", [("delay", delay, unit), wavelength])
    ds = spectra.open(path)
    np.testing.assert_allclose(ds["time"], delay * factor, rtol=1e-12)
    np.testing.assert_array_equal(ds["wavelength"], [500.0, 600.0, 700.0])
    stored = np.arange(15, dtype=np.float32).reshape(5, 3)
    np.testing.assert_array_equal(ds["intensity"], stored[:, ::-1])
    assert ds["time"].attrs["units"] == "s"


def test_spectra_over_time_at_each_place(tmp_path):
    time = ("time", np.array([0.0, 0.5, 2.0, 3.0, 9.0]), "min")
    ds = spectra.open(write(tmp_path / "a.nxs", [Y, X, time, ENERGY]))
    assert ds["intensity"].dims == ("y", "x", "time", "energy")
    np.testing.assert_allclose(ds["time"], [0.0, 30.0, 120.0, 180.0, 540.0])
    assert fusion.check(ds) is ds


def test_indices_say_the_dimension_of_an_axis(tmp_path):
    values = np.arange(24.0).reshape(2, 3, 4)
    indices = {"sample_x_indices": 1, "sample_y_indices": [0], "energy_indices": 2}
    path = write(tmp_path / "a.nxs", [ENERGY, X, Y], values=values, **indices)
    ds = spectra.open(path)
    assert ds["intensity"].dims == ("y", "x", "energy")
    np.testing.assert_array_equal(ds["intensity"], values)


def test_edges_of_bins_become_centres(tmp_path):
    edges = ("energy", np.array([1.0, 2.0, 4.0]), "keV")
    ds = spectra.open(write(tmp_path / "a.nxs", [X, edges], values=np.ones((3, 2))))
    np.testing.assert_array_equal(ds["energy"], [1.5, 3.0])


def test_channels_need_no_unit(tmp_path):
    ds = spectra.open(write(tmp_path / "a.nxs", [X, ("channel", np.arange(4), None)]))
    assert ds["intensity"].dims == ("x", "channel")
    np.testing.assert_array_equal(ds["channel"], np.arange(4))


def test_old_files_name_the_axes_on_the_signal(tmp_path):
    path = write(tmp_path / "a.h5", [Y, X], signal=None, axes=None)
    with h5py.File(path, "a") as file:
        signal = file["entry/data/counts"]
        signal.attrs["signal"], signal.attrs["axes"] = 1, "sample_y:sample_x"
    assert spectra.open(path)["image"].shape == (2, 3)


def test_the_default_is_what_opens(tmp_path):
    path = write(tmp_path / "a.nxs", [X, ENERGY], name="first")
    write(path, [Y, ENERGY], name="second")
    assert [item.name for item in spectra.contents(path)] == ["first", "second"]
    assert spectra.open(path).attrs["title"] == "second"
    assert spectra.open(path, name="first")["intensity"].dims == ("x", "energy")
    with h5py.File(path, "a") as file:
        del file["entry"].attrs["default"]
    with pytest.raises(FileReadError, match="2 of its 2 items are spectral; say which"):
        spectra.open(path)


def test_a_unit_of_the_values_that_nobody_knows_is_kept_in_words(tmp_path):
    path = write(tmp_path / "a.nxs", [X])
    with h5py.File(path, "a") as file:
        file["entry/data/counts"].attrs["units"] = "blob/frob"
    assert spectra.open(path)["image"].attrs["long_name"] == "counts (blob/frob)"


@pytest.mark.parametrize(
    ("axes", "attrs", "message"),
    [
        ([("sample_y", [0.0, 1.0], None), X], {}, "axis 'sample_y' has no units"),
        ([X, ("energy", [7.1, 7.2], None)], {}, "axis 'energy' has no units"),
        ([X, ("energy", [7.1, 7.2], "")], {}, "axis 'energy' has no units"),
        ([X, ("time", [7.1, 7.2], "px")], {}, "axis 'time' has no units"),
        ([("motor7", [0.0, 1.0], "mm"), X], {}, "axis 'motor7' in 'mm' is none of the known axes"),
        ([Y, X], {"axes": ["sample_y", "."]}, "dimension 1 of the signal, 3 long, has no axis of its own"),
        ([Y, X], {"axes": None}, "dimension 0 of the signal, 2 long, has no axis"),
        ([Y, X], {"axes": ["sample_y", "gone"]}, "dimension 1 of the signal"),
        ([Y, X], {"sample_x_indices": [0, 1]}, "dimension 1 of the signal"),
        ([Y, X], {"axes": ["sample_x", "sample_y"]}, r"y: the axis 'sample_y' is float64 \(2,\) for 3 pixels"),
        ([Y, ("y", [0.0, 1.0, 2.0], "um")], {}, "y: more than one axis is called so"),
        ([Y, ("sample_x", [0.0, 1.0, 2.0], "eV")], {}, "axis 'sample_x' in 'eV' is none of the known axes"),
        ([Y, ("sample_x", [0.0, 1.0, 2.0], "px")], {}, "spatial axes mix um and px"),
        ([Y, ("sample_x", [0.0, 1.0, 1.0], "um")], {}, "x: coordinates do not ascend"),
        ([Y, ("sample_x", [0.0, np.nan, 1.0], "um")], {}, "x: coordinates are not all finite"),
        ([Y, X], {"signal": "gone"}, "its signal 'gone' is no array of numbers"),
    ],
)
def test_what_does_not_say_its_axes_is_refused(tmp_path, axes, attrs, message):
    path = write(tmp_path / "a.nxs", axes, **attrs)
    with pytest.raises(FileReadError, match=message):
        spectra.open(path)
    assert spectra.contents(path)[0].technique == "unreadable"


def test_links_to_other_files_are_refused(tmp_path):
    write(tmp_path / "other.nxs", [X])
    path = write(tmp_path / "a.nxs", [Y])
    with h5py.File(path, "a") as file:
        file["entry/away"] = h5py.ExternalLink("other.nxs", "/entry/data")
    with pytest.raises(FileReadError, match="lie in another file"):
        spectra.open(path)


def test_an_axis_may_be_a_link_within_the_file(tmp_path):
    path = write(tmp_path / "a.nxs", [X, ENERGY])
    with h5py.File(path, "a") as file:
        file.move("entry/data/energy", "entry/mono")
        file["entry/data/energy"] = h5py.SoftLink("/entry/mono")
    np.testing.assert_allclose(spectra.open(path)["energy"][0], 7.1)


def test_a_default_that_leads_in_a_circle_or_nowhere(tmp_path):
    path = write(tmp_path / "a.nxs", [X])
    for default in ("/entry", "nowhere"):
        with h5py.File(path, "a") as file:
            file["entry"].attrs["default"] = default
        assert spectra.open(path)["image"].shape == (3,)


@pytest.mark.parametrize("share", np.linspace(0.05, 1.0, 10))
def test_a_cut_file_is_refused(tmp_path, share):
    whole = write(tmp_path / "a.nxs", [Y, X, ENERGY]).read_bytes()
    path = tmp_path / "cut.nxs"
    path.write_bytes(whole[: int(share * (len(whole) - 1))])
    with pytest.raises(FileReadError, match=r"cut\.nxs: not a readable HDF5 file"):
        spectra.open(path)


def test_one_pixel_and_none(tmp_path):
    one = ("sample_x", np.array([5.0]), "um")
    assert spectra.open(write(tmp_path / "a.nxs", [one, ENERGY]))["intensity"].shape == (1, 4)
    none = ("sample_x", np.empty(0), "um")
    path = write(tmp_path / "b.nxs", [none, ENERGY])
    assert spectra.open(path)["intensity"].shape == (0, 4)


def test_damage_is_told_as_such(tmp_path):
    """Flipped bytes lead h5py to errors of many classes; none of them passes."""
    whole = write(tmp_path / "a.nxs", [Y, X, ENERGY]).read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "b.nxs"
    refused = 0
    for _ in range(40):
        content = bytearray(whole)
        for place in random.integers(0, len(content), 20):
            content[place] ^= 255
        path.write_bytes(content)
        try:
            spectra.open(path).compute()
        except FileReadError:
            refused += 1
    assert refused > 12
