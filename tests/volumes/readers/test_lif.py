"""Leica LIF and LOF files, written here by the specification and compared with liffile."""

import liffile
import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import FileReadError
from tests.makers.light import (
    LENGTHS,
    lif_image,
    steps_of,
    values,
    write_lif,
    write_lof,
)
from volumes.readers import planes

CONFOCAL = '<Attachment Name="HardwareSetting" DataSourceTypeName="Confocal" SystemTypeName="TCS SP8"/>'


class TestLif:
    def test_a_stack_of_two_channels(self, tmp_path):
        data = values(3, 2, 5, 7)
        image = lif_image("cell", data, "zcyx", LENGTHS, dyes=("DAPI", "GFP"), attachment=CONFOCAL)
        path = write_lif(tmp_path / "project.lif", image)
        with liffile.LifFile(path) as file:
            np.testing.assert_array_equal(file.images[0].asarray(), data)
        ds = fusion.check(volumes.open(path))
        assert ds["image"].dims == ("z", "y", "x", "channel")
        np.testing.assert_array_equal(ds["image"], data[::-1].transpose(0, 2, 3, 1))
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 1.0})
        assert ds["z"].values == pytest.approx([2.0, 2.5, 3.0])
        assert ds["image"].sel(z=3.0, method="nearest").isel(channel=1, y=4, x=6) == 146
        assert ds["channel"].values.tolist() == ["DAPI", "GFP"]
        assert (ds.attrs["technique"], ds.attrs["instrument"]) == ("confocal", "TCS SP8")

    def test_an_image_of_a_camera(self, tmp_path):
        data = values(5, 7)
        camera = CONFOCAL.replace("Confocal", "Widefield")
        ds = volumes.open(write_lif(tmp_path / "camera.lif", lif_image("cell", data, "yx", LENGTHS, attachment=camera)))
        np.testing.assert_array_equal(ds["image"], data)
        assert ds.attrs["technique"] == "widefield"

    def test_an_object_file_holds_one_image(self, tmp_path):
        data = values(3, 2, 5, 7)
        image = lif_image("cell", data, "zcyx", LENGTHS, dyes=("DAPI", "GFP"), attachment=CONFOCAL)
        path = write_lof(tmp_path / "cell.lof", image)
        with liffile.LifFile(path) as file:
            np.testing.assert_array_equal(file.images[0].asarray(), data)
        ds = fusion.check(volumes.open(path))
        np.testing.assert_array_equal(ds["image"], data[::-1].transpose(0, 2, 3, 1))
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 1.0})
        assert (ds["channel"].values.tolist(), ds.attrs["technique"]) == (["DAPI", "GFP"], "confocal")
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(FileReadError):
            volumes.open(path)

    def test_a_film_with_the_names_of_colours(self, tmp_path):
        data = values(4, 2, 5, 7)
        path = write_lif(tmp_path / "film.lif", lif_image("film", data, "tcyx", LENGTHS, luts=("Green", "Red")))
        ds = volumes.open(path)
        np.testing.assert_array_equal(ds["image"].transpose("time", "channel", "y", "x"), data)
        assert ds["time"].values.tolist() == [0, 10, 20, 30]
        assert ds["channel"].values.tolist() == ["Green", "Red"]
        assert "technique" not in ds.attrs

    def test_images_are_items(self, tmp_path):
        first, second = values(5, 7), values(4, 6) + 500
        images = [lif_image(name, data, "yx", LENGTHS) for name, data in (("one", first), ("two", second))]
        path = write_lif(tmp_path / "project.lif", *images)
        assert [(item.name, item.shape) for item in volumes.contents(path)] == [("one", (5, 7)), ("two", (4, 6))]
        np.testing.assert_array_equal(volumes.open(path, name="two")["image"], second)

    def test_an_image_without_lengths_is_in_px(self, tmp_path):
        none = dict.fromkeys("xy", (0.0, 0.0))
        ds = volumes.open(write_lif(tmp_path / "bare.lif", lif_image("bare", values(5, 7), "yx", none)))
        assert ds["x"].attrs["units"] == "px"

    def test_other_axes_are_named_by_the_user(self, tmp_path):
        data = values(3, 5, 7)
        path = write_lif(tmp_path / "lambda.lif", lif_image("lambda", data, "wyx", {**LENGTHS, "w": (5e-7, 1e-7)}))
        with pytest.raises(FileReadError, match="does not name the axes"):
            volumes.open(path)
        ds = volumes.open(path, dims=("channel", "y", "x"), voxel="1 um")
        np.testing.assert_array_equal(ds["image"].transpose("channel", "y", "x"), data)

    def test_large_files_stay_lazy(self, tmp_path, monkeypatch, direct):
        monkeypatch.setattr(planes, "LAZY_ABOVE", 100)
        data = values(3, 2, 5, 7)
        ds = volumes.open(write_lif(tmp_path / "project.lif", lif_image("cell", data, "zcyx", LENGTHS)))
        assert ds["image"].chunks is not None
        np.testing.assert_array_equal(ds["image"], data[::-1].transpose(0, 2, 3, 1))
