"""Nikon ND2 files, written here and compared with nd2."""

import nd2
import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import FileReadError
from fusion.frames import get_pose
from tests.makers.light import (
    STACK,
    steps_of,
    values,
    write_nd2,
)
from volumes.readers import planes

TURNED = {"m_iXYUse0": 1, "m_iXOrientation0": -1, "m_iYOrientation0": 1}


class TestNd2:
    def test_a_stack_of_two_channels(self, tmp_path):
        data = values(3, 5, 7, 2)
        path = write_nd2(tmp_path / "cell.nd2", data, loops=[STACK], channels=("DAPI", "GFP"), masks=(0x201, 0x201))
        with nd2.ND2File(path) as file:
            np.testing.assert_array_equal(file.asarray(), data.transpose(0, 3, 1, 2))
        ds = fusion.check(volumes.open(path))
        assert ds["image"].dims == ("z", "y", "x", "channel")
        np.testing.assert_array_equal(ds["image"], data)
        assert ds["image"].isel(z=2, y=4, x=6, channel=1) == 2461
        assert ds["channel"].values.tolist() == ["DAPI", "GFP"]
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.5, "x": 0.5})
        assert ds.attrs["technique"] == "confocal"

    def test_a_stack_from_the_top(self, tmp_path):
        data = values(3, 5, 7, 1)
        loop = (4, {**STACK[1], "iType": 6})
        ds = volumes.open(write_nd2(tmp_path / "down.nd2", data, loops=[loop]))
        np.testing.assert_array_equal(ds["image"], data[::-1, ..., 0])
        assert (np.diff(ds["z"]) > 0).all()

    def test_positions_are_items(self, tmp_path):
        points = {
            f"i{i:010}": {"dPosX": 10.0 * i, "dPosY": 20.0 * i, "dPosZ": 0.0, "dPosName": f"B{i}"} for i in range(2)
        }
        data = values(8, 5, 7, 1)
        loops = [(1, {"uiCount": 4, "dStart": 0.0, "dPeriod": 2500.0, "dDuration": 0.0}), (2, {"Points": points})]
        path = write_nd2(tmp_path / "plate.nd2", data, loops=loops, settings=TURNED)
        assert [item.name for item in volumes.contents(path)] == ["position 0 B0", "position 1 B1"]
        ds = volumes.open(path, name="position 1 B1")
        np.testing.assert_array_equal(ds["image"].transpose("time", "y", "x"), data[1::2, ..., 0])
        assert ds["time"].values.tolist() == [0, 2.5, 5, 7.5]
        shift = fusion.frames.between(ds, volumes.open(path, name="position 0 B0"))
        assert shift([0, 0, 0]) == pytest.approx([0, 20, -10])  # x of the stage runs against that of the image

    def test_the_middle_of_the_image_lies_at_the_stage(self, tmp_path):
        path = write_nd2(tmp_path / "placed.nd2", values(1, 5, 7, 1), place=(300.0, 400.0, 50.0), settings=TURNED)
        ds = volumes.open(path)
        pose, frame = get_pose(ds)
        assert frame.startswith("stage of")
        assert pose([0.0, float(ds["y"].mean()), float(ds["x"].mean())]) == pytest.approx([50, 400, 300])
        assert pose([0.0, 0.0, 1.0]) - pose([0.0, 0.0, 0.0]) == pytest.approx([0, 0, -1])

    def test_without_orientation_there_is_no_stage(self, tmp_path):
        ds = volumes.open(write_nd2(tmp_path / "loose.nd2", values(1, 5, 7, 1), place=(300.0, 400.0, 50.0)))
        assert get_pose(ds)[1].startswith("loose.nd2")

    @pytest.mark.parametrize(
        ("masks", "technique"),
        [((0x101, 0x101), None), ((0x201, 0x20001), None), ((0x401, 0x401), "confocal")],
    )
    def test_only_a_shared_technique_is_named(self, tmp_path, masks, technique):
        path = write_nd2(tmp_path / "cell.nd2", values(1, 5, 7, 2), channels=("a", "b"), masks=masks)
        ds = fusion.check(volumes.open(path))
        assert ds.attrs.get("technique") == technique
        np.testing.assert_array_equal(ds["image"], values(1, 5, 7, 2)[0])
        assert steps_of(ds) == pytest.approx({"y": 0.5, "x": 0.5})

    def test_no_calibration_is_px(self, tmp_path):
        ds = volumes.open(write_nd2(tmp_path / "bare.nd2", values(1, 5, 7, 1), step=None))
        assert ds["x"].attrs["units"] == "px"

    def test_an_acquisition_that_was_stopped_is_refused(self, tmp_path):
        with pytest.raises(FileReadError, match="1 of its 3 frames are missing"):
            volumes.open(write_nd2(tmp_path / "stopped.nd2", values(2, 5, 7, 1), loops=[STACK]))

    def test_large_files_stay_lazy(self, tmp_path, monkeypatch, direct):
        monkeypatch.setattr(planes, "LAZY_ABOVE", 100)
        data = values(3, 5, 7, 2)
        ds = volumes.open(write_nd2(tmp_path / "large.nd2", data, loops=[STACK], channels=("a", "b")))
        assert ds["image"].chunks is not None
        np.testing.assert_array_equal(ds["image"], data)
