"""Folders with one slice per file: their order, their pixel sizes, and the z that the stage gives."""

import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

import fusion
import volumes
from fusion.errors import FileReadError, UnitError
from tests.makers.electrons import centre, fei
from tests.makers.images import ramp, steps


class TestFolders:
    def write(self, folder, count=12, suffix=".png"):
        for i in range(count):
            Image.fromarray(np.full((4, 5), i, np.uint8)).save(folder / f"slice{i}{suffix}")

    def test_order_is_that_of_the_numbers(self, tmp_path):
        self.write(tmp_path)
        assert volumes.open(tmp_path)["image"][:, 0, 0].values.tolist() == list(range(12))

    def test_a_gap_is_refused(self, tmp_path):
        self.write(tmp_path)
        (tmp_path / "slice4.png").unlink()
        with pytest.raises(FileReadError, match=r"missing between slice3\.png and slice5\.png"):
            volumes.open(tmp_path)

    def test_another_shape_is_refused(self, tmp_path):
        self.write(tmp_path)
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "slice12.png")
        with pytest.raises(FileReadError, match=r"slice12\.png: \(4, 6\) uint8 where slice0\.png is \(4, 5\)"):
            volumes.open(tmp_path)

    def test_two_kinds_of_files_are_refused(self, tmp_path):
        self.write(tmp_path)
        tifffile.imwrite(tmp_path / "extra.tif", np.zeros((4, 5), np.uint8))
        with pytest.raises(FileReadError, match=r"it holds \.png, \.tif"):
            volumes.open(tmp_path)

    def links(self, folder, store, suffix=""):
        """Make a folder of links to slices in `store`; git-annex gives these names without an ending."""
        folder.mkdir()
        store.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((4, 5), i, np.uint8)).save(store / f"key-{i}{suffix}", format="png")
            (folder / f"slice_{i}.png").symlink_to(store / f"key-{i}{suffix}")
        return folder

    @pytest.mark.parametrize("suffix", ["", ".png"])
    @pytest.mark.parametrize("deep", [False, True])
    def test_links_into_the_store_of_git_annex_are_followed(self, tmp_path, suffix, deep):
        (tmp_path / "raw").mkdir()
        folder = tmp_path / "raw" / "stack" if deep else tmp_path / "stack"
        ds = volumes.open(self.links(folder, tmp_path / ".git" / "annex" / "objects" / "f87", suffix))
        assert ds["image"][:, 0, 0].values.tolist() == [0, 1, 2]

    @pytest.mark.parametrize("store", ["elsewhere", ".git/annex", ".git/annex/objects.old"])
    def test_other_links_out_of_a_folder_are_followed_where_the_user_allows_it(self, tmp_path, store):
        folder = self.links(tmp_path / "stack", tmp_path / store)
        with pytest.raises(FileReadError, match=r"slice_0.png: the slice is a link .* fusion\.limits\(links=True\)"):
            volumes.open(folder)
        with fusion.limits(links=True):
            ds = volumes.open(folder)
        assert ds["image"][:, 0, 0].values.tolist() == [0, 1, 2]

    @pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
    def test_a_store_that_is_itself_a_link_is_not_followed(self, tmp_path):
        folder = self.links(tmp_path / "stack", tmp_path / "secret")
        (tmp_path / ".git" / "annex").mkdir(parents=True)
        (tmp_path / ".git" / "annex" / "objects").symlink_to(tmp_path / "secret")
        for i in range(3):
            (folder / f"slice_{i}.png").unlink()
            (folder / f"slice_{i}.png").symlink_to(tmp_path / ".git" / "annex" / "objects" / f"key-{i}")
        with pytest.raises(FileReadError, match="links are not followed"):
            volumes.open(folder)

    def test_an_empty_folder_is_refused(self, tmp_path):
        with pytest.raises(FileReadError, match="holds no image"):
            volumes.open(tmp_path)

    def test_a_slice_damaged_later_is_named(self, tmp_path):
        self.write(tmp_path)
        ds = volumes.open(tmp_path)
        (tmp_path / "slice5.png").write_bytes((tmp_path / "slice5.png").read_bytes()[:40])
        with pytest.raises(FileReadError, match=r"slice5\.png"):
            ds["image"].compute()


class TestStage:
    def test_slices_of_several_pixel_sizes_are_doubted(self, tmp_path):
        for i, unit in enumerate(("um", "um", "nm")):
            said = {"unit": unit}
            tifffile.imwrite(tmp_path / f"{i}.tif", ramp(4, 5), imagej=True, resolution=(10, 10), metadata=said)
        with pytest.raises(FileReadError, match=r"along y: 2.tif has 0.0001 um, 0.tif has 0.1 um; give the right one"):
            volumes.open(tmp_path, voxel={"z": "1 um"})
        assert steps(volumes.open(tmp_path, voxel="1 um"))["x"] == (1.0, "um")

    @pytest.mark.parametrize("name", ["empty.tif", "dangling.tif", "folder.tif"])
    def test_a_slice_that_cannot_be_read_is_named(self, tmp_path, name):
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5))
        path = tmp_path / name
        {"empty.tif": path.touch, "dangling.tif": lambda: path.symlink_to("x"), "folder.tif": path.mkdir}[name]()
        with pytest.raises(FileReadError, match=f"{name}: the slice cannot be read"):
            volumes.open(tmp_path)

    def test_a_slice_that_changes_after_opening_is_refused(self, tmp_path):
        for i in range(3):
            tifffile.imwrite(tmp_path / f"{i}.tif", ramp(4, 5))
        ds = volumes.open(tmp_path)
        tifffile.imwrite(tmp_path / "1.tif", ramp(4, 5) + 1)
        np.testing.assert_array_equal(ds["image"][0], ramp(4, 5))
        with pytest.raises(FileReadError, match=r"1.tif: the slice has changed since the stack was opened"):
            ds["image"].compute()

    def stack(self, folder, heights, **changes):
        folder.mkdir()
        for i, height in enumerate(heights):
            fei(folder / f"slice_{i:03d}.tif", ramp(44, 50) + i, Stage={"StageZ": height * 1e-6, **changes})
        return folder

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_stage_tells_uneven_steps(self, tmp_path, sign):
        heights = sign * np.array([5.0, 5.01, 5.023, 5.031])
        ds = fusion.check(volumes.open(self.stack(tmp_path / "s", heights)))
        assert fusion.conventions.spacing(ds["z"]) is None
        pose, frame = fusion.get_pose(ds)
        # image z runs along the beam, the stage's against it; the first slice may come last
        first = int(np.asarray(ds["image"][0, 0, 0]))
        order = range(4) if first == 0 else range(3, -1, -1)
        for k, i in enumerate(order):
            assert pose([float(ds["z"][k]), 0.0, 0.0])[0] == pytest.approx(heights[i])
            np.testing.assert_array_equal(ds["image"][k].values, ramp(44, 50) + i)
        assert frame.startswith("stage of ")
        assert ds.attrs["technique"] == "SEM"

    @pytest.mark.parametrize(
        ("heights", "reason"),
        [
            ([5.0, 5.01, 5.01, 5.02], "slices 1 and 2 were taken at one stage z"),
            ([5.0, 5.01, 5.005, 5.02], "slices 1 and 2 were taken at one stage z, or in another order"),
            ([5.0, 5.01, 5.02, 5.04], "a slice seems to be missing between 2 and 3: the stage went 0.02 um"),
        ],
    )
    def test_duplicates_and_gaps_are_refused(self, tmp_path, heights, reason):
        folder = self.stack(tmp_path / "s", heights)
        with pytest.raises(FileReadError, match=reason):
            volumes.open(folder)
        ds = volumes.open(folder, voxel={"z": [0.0, 0.01, 0.02, 0.03]})
        np.testing.assert_allclose(ds["z"], [0.0, 0.01, 0.02, 0.03])

    def test_a_stage_at_rest_tells_no_z(self, tmp_path):
        folder = self.stack(tmp_path / "s", [5.0] * 3)
        with pytest.raises(FileReadError, match="known along y, x but not along z"):
            volumes.open(folder)
        np.testing.assert_allclose(centre(volumes.open(folder, voxel={"z": "10 nm"}), 40), [5.0, -2000.0, 1000.0])

    def test_a_stage_that_wanders_places_nothing(self, tmp_path):
        folder = self.stack(tmp_path / "s", [5.0, 5.0])
        fei(folder / "slice_002.tif", ramp(44, 50), Stage={"StageZ": 5e-6, "StageX": 9e-3})
        ds = volumes.open(folder, voxel={"z": "10 nm"})
        assert fusion.get_pose(ds)[1].startswith("s ")

    @pytest.mark.parametrize(
        ("given", "unit", "expected"),
        [
            ([0.0, 0.01, 0.03], None, [0.0, 0.01, 0.03]),
            ([0, 10, 30], "nm", [0.0, 0.01, 0.03]),
            (("-5 nm", "10 nm", "0.03 um"), None, [-0.005, 0.01, 0.03]),
            (np.array([30.0, 10.0, 0.0]), "nm", [0.0, 0.01, 0.03]),
        ],
    )
    def test_positions_of_centres(self, tmp_path, given, unit, expected):
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), photometric="minisblack")
        voxel = {"z": given, "y": "5 nm", "x": "5 nm"}
        ds = fusion.check(volumes.open(tmp_path / "a.tif", voxel=voxel, units=unit))
        np.testing.assert_allclose(ds["z"], expected)
        turned = isinstance(given, np.ndarray)
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5)[::-1] if turned else ramp(3, 4, 5))

    def test_positions_of_a_tilt_series(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), photometric="minisblack")
        voxel = {"tilt": [-60, 0, 70], "y": 1.0, "x": 1.0}
        ds = volumes.open(tmp_path / "a.tif", dims=("tilt", "y", "x"), voxel=voxel, units="nm")
        assert ds["tilt"].values.tolist() == [-60.0, 0.0, 70.0]

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ([0.0, 0.1], "2 positions for 3 pixels"),
            ([0.0, 0.1, 0.1], "none is there twice"),
            ([0.0, 0.2, 0.1], "rise or fall throughout"),
            ([0.0, float("nan"), 0.1], "rise or fall throughout"),
            (["0 nm", "1 keV", "2 nm"], "cannot convert 'keV'"),
            (["0 nm", "one nm", "2 nm"], "a position is a number"),
        ],
    )
    def test_positions_that_are_none_are_refused(self, tmp_path, given, reason):
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), photometric="minisblack")
        with pytest.raises(UnitError, match=reason):
            volumes.open(tmp_path / "a.tif", voxel={"z": given, "y": 1.0, "x": 1.0})
