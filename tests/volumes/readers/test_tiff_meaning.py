"""What a TIFF file says of its values: unit of time, unit of the resolution, orientation, and what zero stands for."""

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

import volumes
from fusion.errors import FileReadError
from tests.makers.images import ramp, steps
from volumes.readers import planes


def film(path, **header):
    tifffile.imwrite(path, ramp(3, 4, 5), imagej=True, metadata={"axes": "TYX", "unit": "um", **header})
    return path


class TestFrameInterval:
    @pytest.mark.parametrize(
        ("unit", "seconds"),
        [("s", 1), ("sec", 1), ("Sec", 1), ("seconds", 1), ("msec", 1e-3), (r"\u00B5s", 1e-6),
         ("usec", 1e-6), ("Min", 60), ("minutes", 60), ("hr", 3600), ("hours", 3600), ("day", 86400)],
    )  # fmt: skip
    def test_the_unit_of_the_interval_counts(self, tmp_path, unit, seconds):
        ds = volumes.open(film(tmp_path / "a.tif", finterval=2.5, tunit=unit))
        np.testing.assert_allclose(ds["time"], [0, 2.5 * seconds, 5 * seconds])
        assert ds["time"].attrs["units"] == "s"

    def test_a_unit_that_is_none_of_time_is_asked_for(self, tmp_path):
        path = film(tmp_path / "a.tif", finterval=2.0, tunit="frames")
        with pytest.raises(FileReadError, match=r"2 'frames', which is no unit of time; .* voxel=\{'time': '2 s'\}"):
            volumes.open(path)
        assert volumes.open(path, voxel={"time": "40 ms"})["time"].values.tolist() == pytest.approx([0, 0.04, 0.08])


class TestImagejLengths:
    @pytest.mark.parametrize(
        ("unit", "um"),
        [(r"\u00B5m", 1), ("micron", 1), ("Microns", 1), ("nm", 1e-3), ("Nanometers", 1e-3), ("mm", 1e3), ("cm", 1e4)],
    )
    def test_the_spellings_of_a_unit(self, tmp_path, unit, um):
        header = {"axes": "ZYX", "unit": unit, "spacing": 3.0}
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), imagej=True, resolution=(4, 2), metadata=header)
        found = {dim: step for dim, (step, _) in steps(volumes.open(tmp_path / "a.tif")).items()}
        assert found == pytest.approx({"z": 3 * um, "y": 0.5 * um, "x": 0.25 * um})


class TestSpacing:
    def write(self, path, per_unit, tag, unit="um", spacing=0.5):
        header = {"axes": "ZYX", "unit": unit} | ({"spacing": spacing} if spacing else {})
        tifffile.imwrite(path, ramp(3, 4, 5), photometric="minisblack", resolution=(per_unit, per_unit),
                         resolutionunit=tag, metadata=header)  # fmt: skip
        return path

    @pytest.mark.parametrize(
        ("per_unit", "tag", "unit", "reason"),
        [
            (2, "INCH", "um", r"12700 um along y by the resolution tag \(2 per inch\) and its planes 0.5 um apart"),
            (5, "CENTIMETER", "um", r"2000 um along y by the resolution tag \(5 per cm\)"),
            (0.01, "INCH", "nm", r"2.54e\+06 um along y .* its planes 0.0005 um apart; perhaps 0.01 per nm"),
            (2, "INCH", "mm", r"12700 um along y .* its planes 500 um apart"),
        ],
    )
    def test_a_tag_that_contradicts_the_spacing_is_doubted(self, tmp_path, per_unit, tag, unit, reason):
        path = self.write(tmp_path / "a.tif", per_unit, tag, unit)
        with pytest.raises(FileReadError, match=rf"{reason}.* voxel=\{{'y': '62 nm', 'x': '62 nm'\}}"):
            volumes.open(path)
        assert steps(volumes.open(path, voxel={"y": "62 nm", "x": "62 nm"}))["x"] == (pytest.approx(0.062), "um")

    @pytest.mark.parametrize(
        ("per_unit", "tag", "spacing"),
        [(100_000, "CENTIMETER", 2.0), (254_000, "INCH", 2.0), (10, "NONE", 2.0), (10, "NONE", None)],
    )
    def test_a_tag_that_fits_is_believed(self, tmp_path, per_unit, tag, spacing):
        voxel = {} if spacing else {"z": "2 um"}
        ds = volumes.open(self.write(tmp_path / "a.tif", per_unit, tag, spacing=spacing), voxel=voxel or None)
        assert {dim: step for dim, (step, _) in steps(ds).items()} == pytest.approx({"z": 2.0, "y": 0.1, "x": 0.1})

    @pytest.mark.parametrize(("tag", "per_unit"), [("CENTIMETER", 1e5), ("INCH", 254e3)])
    def test_a_unit_of_imagej_that_contradicts_the_tag_is_doubted(self, tmp_path, tag, per_unit):
        header = {"axes": "ZYX", "unit": "um", "spacing": 0.5}
        resolution = {"resolution": (per_unit, per_unit), "resolutionunit": tag}
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), imagej=True, metadata=header, **resolution)
        with pytest.raises(FileReadError, match=rf"and its planes 0.5 um apart; perhaps {per_unit:g} per (cm|inch)"):
            volumes.open(tmp_path / "a.tif")


class TestOrientation:
    """Against Pillow, which turns a grey TIFF wrongly unless it is compressed."""

    @pytest.mark.parametrize("tag", range(1, 9))
    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
    def test_rows_and_columns_lie_as_the_tag_says(self, tmp_path, tag, shape):
        path, stored = tmp_path / "a.tif", ramp(*shape, dtype=np.uint8)
        photometric = "rgb" if len(shape) == 3 else "minisblack"
        tifffile.imwrite(path, stored, photometric=photometric, metadata=None, compression="zlib",
                         extratags=[(274, "H", 1, tag, True)])  # fmt: skip
        ds = volumes.open(path)
        with Image.open(path) as image:
            np.testing.assert_array_equal(ds["image"].values, np.asarray(ImageOps.exif_transpose(image)))
        assert ("orientation" in ds["image"].attrs) == (tag > 1)

    @pytest.mark.parametrize("large", [False, True])
    def test_the_sizes_of_a_stack_are_exchanged_with_its_axes(self, tmp_path, monkeypatch, direct, large):
        path, header = tmp_path / "a.tif", {"axes": "ZYX", "unit": "um", "spacing": 0.5}
        tifffile.imwrite(path, ramp(3, 4, 5), resolution=(10, 5), resolutionunit="NONE", metadata=header,
                         photometric="minisblack", extratags=[(274, "H", 1, 8, True)])  # fmt: skip
        if large:
            monkeypatch.setattr(planes, "LAZY_ABOVE", 10)
        ds = volumes.open(path)
        assert (ds["image"].chunks is not None) == large
        np.testing.assert_array_equal(ds["image"].values, np.rot90(ramp(3, 4, 5), axes=(1, 2)))
        assert {dim: step for dim, (step, _) in steps(ds).items()} == pytest.approx({"z": 0.5, "y": 0.1, "x": 0.2})

    def test_a_tag_of_the_first_page_holds_for_those_without(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for tags in ([(274, "H", 1, 2, True)], []):
                writer.write(ramp(4, 5), metadata=None, contiguous=False, extratags=tags)
        np.testing.assert_array_equal(
            volumes.open(tmp_path / "a.tif", voxel="1 um")["image"], [ramp(4, 5)[:, ::-1]] * 2
        )

    def test_pages_that_lie_apart_are_refused(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for tag in (1, 6):
                writer.write(ramp(4, 4), metadata=None, contiguous=False, extratags=[(274, "H", 1, tag, True)])
        with pytest.raises(FileReadError, match=r"several orientations.* \(tag 274 is 1, 6\)"):
            volumes.open(tmp_path / "a.tif")

    @pytest.mark.parametrize("tag", [3, 5, 6])
    def test_photographs_lie_as_exif_says(self, tmp_path, tag):
        path, exif = tmp_path / "a.jpg", Image.Exif()
        exif[274] = tag
        Image.fromarray(ramp(16, 24, dtype=np.uint8)).save(path, exif=exif)
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(volumes.open(path)["image"].values, expected)


class TestPhotometric:
    @pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
    def test_white_is_zero_is_said_and_values_are_those_stored(self, tmp_path, dtype):
        path, stored = tmp_path / "a.tif", (ramp(4, 8) % 2).astype(dtype)
        tifffile.imwrite(path, stored, photometric="miniswhite", metadata=None)
        image = volumes.open(path)["image"]
        np.testing.assert_array_equal(image.values, stored)
        assert image.attrs["photometric_interpretation"].startswith("white is zero")

    def test_indices_of_a_palette_are_said(self, tmp_path):
        path, stored = tmp_path / "a.tif", ramp(4, 5, dtype=np.uint8)
        colours = np.zeros((3, 256), np.uint16)
        tifffile.imwrite(path, stored, photometric="palette", colormap=colours, metadata=None)
        image = volumes.open(path)["image"]
        np.testing.assert_array_equal(image.values, stored)
        assert image.attrs["photometric_interpretation"] == "values are indices of a palette"

    def test_a_palette_of_greys_needs_no_word(self, tmp_path):
        grey = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, axis=0)
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5, dtype=np.uint8), photometric="palette", colormap=grey)
        assert "photometric_interpretation" not in volumes.open(tmp_path / "a.tif")["image"].attrs

    def test_of_usual_images_nothing_is_said(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), photometric="minisblack")
        assert "photometric_interpretation" not in volumes.open(tmp_path / "a.tif")["image"].attrs

    @pytest.mark.parametrize(("compression", "said"), [(None, True), ("zlib", True), ("jpeg", False)])
    def test_luma_and_chroma_are_said_unless_they_are_decoded(self, tmp_path, compression, said):
        stored = ramp(16, 16, 3, dtype=np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="ycbcr", compression=compression, metadata=None)
        ds = volumes.open(tmp_path / "a.tif")
        assert ("photometric_interpretation" in ds["image"].attrs) == said
        assert (list(ds["channel"].values) == ["red", "green", "blue"]) != said

    def test_the_straight_line_of_imagej_is_said(self, tmp_path):
        header = {"unit": "um", "cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "Gray Value"}
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), imagej=True, metadata=header)
        image = volumes.open(tmp_path / "a.tif")["image"]
        np.testing.assert_array_equal(image.values, ramp(4, 5))
        assert image.attrs["calibration"] == "value = -32768 + 1 · stored, Gray Value"
