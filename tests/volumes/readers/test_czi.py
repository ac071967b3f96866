"""Zeiss CZI files, written by libCZI."""

import json

import numpy as np
import pytest
from pylibCZIrw import czi

import fusion
import volumes
from fusion.errors import FileReadError
from fusion.frames import get_pose
from tests.makers.light import (
    steps_of,
    values,
    write_czi,
)
from volumes.readers import planes


class TestCzi:
    def test_a_stack_of_two_channels(self, tmp_path):
        data = values(1, 3, 2, 5, 7)
        ds = fusion.check(volumes.open(write_czi(tmp_path / "cell.czi", data)))
        assert ds["image"].dims == ("z", "y", "x", "channel")
        assert ds["image"].dtype == np.uint16
        np.testing.assert_array_equal(ds["image"], data[0].transpose(0, 2, 3, 1))
        assert ds["image"].isel(z=2, channel=1, y=4, x=6) == 2146
        assert ds["channel"].values.tolist() == ["DAPI", "GFP"]
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 0.1})
        assert "technique" not in ds.attrs
        assert "<SizeZ>3" in json.loads(ds.attrs["original_metadata"])["czi"]

    def test_scenes_are_items_with_a_place_on_the_stage(self, tmp_path):
        def edit(xml):
            scenes = "".join(
                f'<Scene Index="{i}" Name="A{i}"><CenterPosition>{100 + i},{200 + i}</CenterPosition></Scene>'
                for i in range(2)
            )
            return xml.replace("<Dimensions>", f"<Dimensions><S><Scenes>{scenes}</Scenes></S>")

        data = values(1, 1, 1, 5, 7)
        path = write_czi(tmp_path / "wells.czi", data, scenes=2, names=("DAPI",), edit=edit)
        assert [(item.name, item.dims, item.shape) for item in volumes.contents(path)] == [
            ("A0", ("y", "x"), (5, 7)), ("A1", ("y", "x"), (5, 7)),
        ]  # fmt: skip
        with pytest.raises(FileReadError, match="choose one by name"):
            volumes.open(path)
        first, second = (volumes.open(path, name=name) for name in ("A0", "A1"))
        np.testing.assert_array_equal(second["image"], data[0, 0, 0] + 5000)
        for i, ds in enumerate((first, second)):
            pose, frame = get_pose(ds)
            assert frame.startswith("stage of wells.czi")
            middle = [0.0, float(ds["y"].mean()), float(ds["x"].mean())]
            assert pose(middle) == pytest.approx([0.0, 200.0 + i, 100.0 + i])
        assert fusion.frames.between(first, second)([0, 0, 0]) == pytest.approx([0, -1, -1])

    def test_colour_and_technique(self, tmp_path):
        def edit(xml):
            return xml.replace("<PixelType>", "<AcquisitionMode>WideField</AcquisitionMode><PixelType>", 1)

        data = np.stack([values(5, 7) + 100 * i for i in range(3)], axis=-1).astype(np.uint8)
        path = write_czi(tmp_path / "he.czi", data[np.newaxis, np.newaxis, np.newaxis], names=("H&E",), edit=edit)
        ds = volumes.open(path)
        assert ds["channel"].values.tolist() == ["red", "green", "blue"]
        with czi.open_czi(str(path)) as document:
            np.testing.assert_array_equal(ds["image"], document.read()[..., ::-1])
        assert ds["image"].isel(y=1, x=2, channel=0) == 212
        assert ds.attrs["technique"] == "widefield"

    @pytest.mark.parametrize(
        ("mode", "technique"),
        [("LaserScanningConfocalMicroscopy", "confocal"), ("STED", "STED"), ("PALM", "SMLM"), ("Other", None)],
    )
    def test_the_mode_that_all_channels_share(self, tmp_path, mode, technique):
        said = f"<AcquisitionMode>{mode}</AcquisitionMode><PixelType>"
        data = values(1, 3, 2, 5, 7)
        path = write_czi(tmp_path / "cell.czi", data, edit=lambda xml: xml.replace("<PixelType>", said))
        ds = fusion.check(volumes.open(path))
        assert ds.attrs.get("technique") == technique
        np.testing.assert_array_equal(ds["image"], data[0].transpose(0, 2, 3, 1))
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 0.1})

    def test_time_needs_a_step(self, tmp_path):
        data = values(4, 1, 1, 5, 7)
        path = write_czi(tmp_path / "film.czi", data, names=("DAPI",))
        with pytest.raises(FileReadError, match="step along 'time'"):
            volumes.open(path)
        ds = volumes.open(path, voxel={"time": "2 s"})
        assert ds["image"].dims == ("y", "x", "time")
        np.testing.assert_array_equal(ds["image"].transpose("time", "y", "x"), data[:, 0, 0])

    def test_no_size_is_px(self, tmp_path):
        ds = volumes.open(write_czi(tmp_path / "bare.czi", values(1, 1, 1, 5, 7), steps=(0, 0, 0), names=("a",)))
        assert ds["x"].attrs["units"] == "px"

    def test_a_stack_that_was_stopped_is_not_filled_with_zeros(self, tmp_path):
        path = tmp_path / "stopped.czi"
        with czi.create_czi(str(path)) as document:
            for z, c in ((0, 0), (0, 1), (1, 0)):
                document.write(values(5, 7)[..., np.newaxis], plane={"Z": z, "C": c})
            document.write_metadata("doc")
        with pytest.raises(FileReadError, match="it holds 3 of its 4 planes"):
            volumes.open(path)

    def test_large_files_stay_lazy(self, tmp_path, monkeypatch, direct):
        monkeypatch.setattr(planes, "LAZY_ABOVE", 100)
        data = values(2, 3, 2, 5, 7)
        ds = volumes.open(write_czi(tmp_path / "large.czi", data), voxel={"time": "1 s"})
        assert ds["image"].chunks is not None
        np.testing.assert_array_equal(ds["image"].transpose("time", "z", "channel", "y", "x"), data)
