"""What RosettaSciIO says of steps, edges and techniques, put right from the header of the file."""

from __future__ import annotations

import numpy as np
import pytest

import fusion
import spectra
from spectra.readers.rosettasciio import adapter, bruker, tia, velox


def axis(name, size, scale, offset=0.0, unit="nm"):
    return {"name": name, "size": size, "scale": scale, "offset": offset, "units": unit}


@pytest.mark.parametrize(("dx", "dy"), [(0.5, 0.25), (0.1, 3.0)])
def test_a_map_of_bruker_has_its_own_steps(tmp_path, dx, dy):
    raw = {
        "axes": [
            axis("height", 4, dy, unit="um"),
            axis("width", 5, dy, unit="um"),
            axis("Energy", 9, 0.01, unit="keV"),
        ],
        "original_metadata": {"Microscope": {"DX": dx, "DY": dy}},
    }
    (right,) = bruker.measured([raw], tmp_path / "a.spx")
    assert [entry["scale"] for entry in right["axes"]] == [dy, dx, 0.01]


def test_a_map_of_bruker_without_a_size_stays_in_pixels(tmp_path):
    raw = {"axes": [axis("height", 4, 1.0, unit="")], "original_metadata": {"Microscope": {"HV": 20.0}}}
    assert bruker.measured([raw], tmp_path / "a.spx")[0]["axes"] == raw["axes"]


@pytest.mark.parametrize(("centre", "size"), [((3.0, 2.0), (2.0, 1.0)), ((10.0, 50.0), (4.0, 8.0))])
def test_the_outline_of_the_map_in_its_overview_is_kept(tmp_path, centre, size):
    marker = {"offsets": ([*centre],), "widths": (size[0],), "heights": (size[1],)}
    raw = {"axes": [], "metadata": {"Markers": {"overview": marker}}}
    (y, x), (height, width) = centre[::-1], size[::-1]
    expected = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
    assert bruker.measured([raw], tmp_path / "a.spx")[0]["attrs"]["map_outline"] == expected


def test_measured_bruker_map_and_image_lie_on_each_other(measured):
    path = measured("edx/bcf-edx-ebsd.bcf")
    scan, image = spectra.open(path), spectra.open(path, name="Ch 0")
    for dim, step in (("y", 0.4168974972), ("x", 0.4145152257)):
        np.testing.assert_allclose(np.diff(scan[dim]), step)
        np.testing.assert_allclose(scan[dim], image[dim])
    assert fusion.get_pose(scan)[1] == fusion.get_pose(image)[1]
    assert scan.attrs["specimen_tilt"] == pytest.approx(70.0)


@pytest.mark.parametrize(("size", "step"), [(10, 4.0), (7, 0.5)])
def test_velox_counts_from_the_edge(tmp_path, size, step):
    edge = -size * step / 2
    raw = {
        "axes": [axis("y", size, step, edge), axis("x", size, step, edge)],
        "original_metadata": {"BinaryResult": {"a": 1}},
    }
    for entry in velox.centred([raw], tmp_path / "a.emd")[0]["axes"]:
        centres = entry["offset"] + entry["scale"] * np.arange(size)
        np.testing.assert_allclose(centres.mean(), 0.0, atol=1e-12)


def test_other_files_called_emd_count_from_the_centre(tmp_path):
    raw = {"axes": [axis("x", 4, 2.0, -4.0)], "original_metadata": {}}
    assert velox.centred([raw], tmp_path / "a.emd") == [raw]


def test_measured_velox_field_has_its_edges_on_whole_pixels(measured):
    """A part of the field was scanned, a whole number of pixels away from its middle."""
    ds = spectra.open(measured("correlative_eds_haadf_velox/fei_SI_SuperX-HAADF_20frames_10x50.emd"), name="EDS")
    for dim in "yx":
        pixels = ds[dim].values / np.diff(ds[dim].values).mean()
        np.testing.assert_allclose(pixels % 1.0, 0.5, atol=1e-3)


@pytest.mark.parametrize(
    ("scale", "unit", "mode", "signal_type"),
    [
        (0.2, "eV", "Spectroscopy", "EELS"),
        (0.1, "eV", "", "EELS"),
        (10.0, "eV", "", "EDS_TEM"),
        (0.02, "keV", "", "EDS_TEM"),
        (10.0, "eV", "Spectroscopy", "EDS_TEM"),
    ],
)
def test_spectra_of_tia_are_of_x_rays_or_of_energy_losses(tmp_path, scale, unit, mode, signal_type):
    acquisition = {"ObjectInfo": {"ExperimentalDescription": {"Filter mode": mode} if mode else {}}}
    raw = {
        "axes": [axis("Energy", 1024, scale, unit=unit)],
        "metadata": {"Signal": {"signal_type": ""}},
        "original_metadata": acquisition,
    }
    assert tia.typed([raw], tmp_path / "a.emi")[0]["metadata"]["Signal"]["signal_type"] == signal_type


@pytest.mark.parametrize(("step", "unit", "expected"), [(1e8, "m", "1/m"), (2e-9, "m", "m"), (5.0, "nm", "nm")])
def test_steps_of_tia_that_are_no_lengths_are_reciprocal(tmp_path, step, unit, expected):
    raw = {"axes": [axis("y", 4, step, unit=unit), axis("x", 4, step, unit=unit)]}
    (right,) = tia.typed([raw], tmp_path / "a.ser")
    assert [entry["units"] for entry in right["axes"]] == [expected, expected]


def test_points_of_tia_have_no_distance_of_a_metre(tmp_path):
    raw = {"data": np.ones((2, 9)), "axes": [axis("x", 2, 1.0, unit="m"), axis("Energy", 9, 0.2, unit="eV")]}
    ds = adapter.labelled(tia.typed([raw], tmp_path / "a.ser")[0], "points")
    assert ds["x"].attrs["units"] == "px"
    assert ds["intensity"].dims == ("x", "energy_loss")


def test_a_diffraction_pattern_is_called_so():
    raw = {"data": np.ones((4, 4)), "axes": [axis("y", 4, 0.1, unit="1/nm"), axis("x", 4, 0.1, unit="1/nm")]}
    with pytest.raises(fusion.UnitError, match="a reciprocal length is one of a diffraction pattern"):
        adapter.labelled(raw, "pattern")


@pytest.mark.parametrize(("name", "unit"), [("", ""), ("<undefined>", "<undefined>"), (None, None), ("i", "points")])
def test_an_axis_that_only_counts_is_a_channel(name, unit):
    counted = {"name": name, "size": 3, "scale": 1.0, "offset": 0.0, "units": unit}
    frames = {"data": np.ones((3, 4, 5)), "axes": [counted, axis("y", 4, 2.0), axis("x", 5, 2.0)]}
    ds = adapter.labelled(frames, "frames")
    assert (ds["image"].dims, ds.attrs["technique"]) == (("y", "x", "channel"), "image")
    line = {"data": np.ones((3, 9)), "axes": [counted, axis("Energy loss", 9, 0.2, unit="eV")]}
    assert adapter.labelled(line, "line")["intensity"].sizes == {"channel": 3, "energy_loss": 9}


def test_two_axes_without_names_are_not_told_apart():
    axes = [{"name": "", "size": size, "scale": 1.0, "offset": 0.0, "units": ""} for size in (3, 4)]
    with pytest.raises(fusion.UnitError, match="axis '' without a unit is none of the known axes"):
        adapter.labelled({"data": np.ones((3, 4)), "axes": axes}, "array")


def test_measured_energy_losses_of_tia(measured):
    measured("eels/16x16-spectrum_image-5x5x1024_1.ser")
    ds = spectra.open(measured("eels/16x16-spectrum_image-5x5x1024.emi"))
    assert ds["intensity"].dims == ("y", "x", "energy_loss")
    assert ds.attrs["technique"] == "EELS"
    np.testing.assert_allclose(ds["energy_loss"].values[[0, -1]], [-20.0, 184.6])


def test_measured_spectrum_whose_axis_is_called_x(measured):
    ds = spectra.open(measured("edx/test-EDS_spectrum.dm3"))
    assert ds["counts"].dims == ("energy",)
    np.testing.assert_allclose(ds["energy"].values[[0, -1]], [-0.478, 19.997], atol=1e-5)


def test_measured_angles_of_delmic_are_no_place_on_the_specimen(measured):
    path = measured("cathodoluminescence/sparc-angle-resolved.h5")
    ds = spectra.open(path, name="Angle-resolved")
    assert (ds["x"].attrs["units"], ds.attrs["technique"]) == ("px", "angle-resolved CL")
    survey = spectra.open(path, name="Secondary electrons survey")
    assert fusion.get_pose(ds)[1] != fusion.get_pose(survey)[1]
    np.testing.assert_allclose(ds.attrs["beam_position"], [1.35692, -0.885494], rtol=1e-5)


@pytest.mark.parametrize("unit", ["", None])
def test_a_stack_whose_third_axis_has_no_scale_counts_its_images(unit):
    axes = [axis("z", 3, 1.0, unit=unit), axis("y", 4, 0.5), axis("x", 5, 0.5)]
    ds = adapter.labelled({"data": np.arange(60.0).reshape(3, 4, 5), "axes": axes, "metadata": {}}, "stack")
    assert dict(ds.sizes) == {"y": 4, "x": 5, "channel": 3}
    np.testing.assert_array_equal(ds["image"].isel(channel=1), np.arange(20.0, 40.0).reshape(4, 5))
