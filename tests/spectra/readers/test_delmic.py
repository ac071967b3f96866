"""Files of Delmic with axes of angle and time: the spectra lie on the scan, frames without times are channels."""

import h5py
import numpy as np
import pytest

import fusion
import spectra

NM = np.array([500.0, 510.0, 530.0, 560.0])


def delmic(path, shape, letters, scales, *, pole=True):
    """Write one acquisition as Odemis does: an image, the scales of its axes in SI units, the pole of the mirror."""
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    with h5py.File(path, "w") as file:
        data = file.create_group("Acquisition0/ImageData")
        image = data.create_dataset("Image", data=values)
        for axis, letter in zip(image.dims, letters, strict=True):
            axis.label = letter
        for letter, (value, unit) in {"X": (2e-7, "m"), "Y": (3e-7, "m"), **scales}.items():
            data[f"DimensionScale{letter}"] = value
            data[f"DimensionScale{letter}"].attrs["UNIT"] = unit
        data["XOffset"], data["YOffset"] = 1e-6, 2e-6
        physical = file.create_group("Acquisition0/PhysicalData")
        physical["Title"] = np.bytes_("spectra")
        if pole:
            physical["PolePosition"] = [10.0, 20.0]
    return values


def test_spectra_resolved_by_angle_lie_on_the_scan(tmp_path):
    angles = np.array([np.nan, -0.5, 0.25])
    values = delmic(tmp_path / "a.h5", (4, 3, 1, 2, 5), "CAZYX", {"C": (NM * 1e-9, "m"), "A": (angles, "rad")})
    ds = fusion.check(spectra.open(tmp_path / "a.h5"))
    assert dict(ds["intensity"].sizes) == {"y": 2, "x": 5, "wavelength": 4, "channel": 3}
    np.testing.assert_allclose(ds["wavelength"], NM)
    np.testing.assert_allclose(np.diff(ds["x"]), 0.2)
    np.testing.assert_allclose(ds["emission_angle"], np.rad2deg(angles))
    assert (
        int(ds["intensity"].isel(channel=2, wavelength=1, x=3).sel(y=0.15, method="nearest")) == values[1, 2, 0, 0, 3]
    )
    fusion.save(ds, tmp_path / "a.nc")
    np.testing.assert_array_equal(fusion.load(tmp_path / "a.nc")["emission_angle"], ds["emission_angle"])


def test_spectra_of_a_streak_camera_have_their_times(tmp_path):
    seconds = np.arange(6) * 8e-12
    delmic(tmp_path / "a.h5", (4, 6, 1, 2, 5), "CTZYX", {"C": (NM * 1e-9, "m"), "T": (seconds, "s")})
    ds = fusion.check(spectra.open(tmp_path / "a.h5"))
    assert dict(ds["intensity"].sizes) == {"y": 2, "x": 5, "wavelength": 4, "time": 6}
    np.testing.assert_allclose(ds["time"], seconds)


@pytest.mark.parametrize("pole", [True, False])
def test_frames_without_times_are_channels(tmp_path, pole):
    delmic(tmp_path / "a.h5", (1, 3, 1, 4, 5), "CTZYX", {}, pole=pole)
    ds = fusion.check(spectra.open(tmp_path / "a.h5"))
    assert dict(ds["image"].sizes) == {"y": 4, "x": 5, "channel": 3}
    np.testing.assert_allclose(np.diff(ds["y"]), 0.3)


def test_a_plane_of_the_detector_is_no_specimen(tmp_path):
    delmic(tmp_path / "a.h5", (1, 1, 1, 4, 5), "CTZYX", {})
    ds = spectra.open(tmp_path / "a.h5")
    assert (ds["x"].attrs["units"], ds.attrs["technique"]) == ("px", "angle-resolved CL")
