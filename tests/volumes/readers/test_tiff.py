"""TIFF files without the tags of a microscope: plain stacks and those of ImageJ."""

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

import volumes
from fusion.errors import FileReadError
from tests.makers.images import quiet_mrcfile, ramp, steps
from tests.makers.light import (
    values,
)
from volumes.readers import planes


class TestTiff:
    def test_imagej_sizes_units_and_origins(self, tmp_path):
        path, data = tmp_path / "stack.tif", ramp(3, 4, 5)
        said = {"axes": "ZYX", "spacing": 500.0, "unit": "nm", "xorigin": 2.0, "yorigin": -1.0, "zorigin": 1.0}
        tifffile.imwrite(path, data, imagej=True, resolution=(1 / 100, 1 / 200), metadata=said)
        ds = volumes.open(path)
        np.testing.assert_array_equal(ds["image"].values, data)
        assert ds["x"].values == pytest.approx([-0.2, -0.1, 0.0, 0.1, 0.2])
        assert ds["y"].values == pytest.approx([0.2, 0.4, 0.6, 0.8])
        assert ds["z"].values == pytest.approx([-0.5, 0.0, 0.5])

    @pytest.mark.parametrize("said", [{"finterval": -1.0}, {"finterval": float("nan")}, {}])
    def test_a_time_that_does_not_pass_is_not_told(self, tmp_path, said):
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), imagej=True, metadata={"axes": "TYX", **said})
        with pytest.raises(FileReadError, match="does not give the step along 'time'"):
            volumes.open(tmp_path / "a.tif")

    @pytest.mark.parametrize("spacing", ["0,5", "abc", "nan"])
    def test_a_spacing_that_is_no_number_is_asked_for(self, tmp_path, spacing):
        path = tmp_path / "a.tif"
        said = {"axes": "ZYX", "unit": "um", "spacing": 0.5}
        tifffile.imwrite(path, ramp(3, 4, 5), imagej=True, resolution=(10, 10), metadata=said)
        path.write_bytes(path.read_bytes().replace(b"spacing=0.5", f"spacing={spacing}".encode()))
        with pytest.raises(FileReadError, match="along y, x but not along z; give it"):
            volumes.open(path)

    def test_a_print_size_in_an_imagej_file_is_not_believed(self, tmp_path):
        said = {"unit": "inch"}
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), imagej=True, resolution=(72, 72), metadata=said)
        assert steps(volumes.open(tmp_path / "a.tif")) == {"y": (1.0, "px"), "x": (1.0, "px")}

    def test_an_unknown_unit_is_refused_until_the_user_gives_a_size(self, tmp_path):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, ramp(4, 5), imagej=True, resolution=(2, 4), metadata={"unit": "zork"})
        with pytest.raises(FileReadError, match=r"a size of 0\.25 along y in 'zork', which is no known unit of length"):
            volumes.open(path)
        assert steps(volumes.open(path, voxel="5 nm"))["x"] == (0.005, "um")

    def test_images_that_are_named_and_missing_are_told(self, tmp_path):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, ramp(3, 4, 5), imagej=True, metadata={"axes": "ZYX"})
        path.write_bytes(path.read_bytes().replace(b"images=3\nslices=3", b"images=4\nslices=4"))
        with pytest.raises(FileReadError, match=r"it names ZYX \(4, 4, 5\), and holds 3 pages"):
            volumes.open(path)

    def test_imagej_channels(self, tmp_path):
        path, data = tmp_path / "two.tif", ramp(3, 2, 4, 5)
        tifffile.imwrite(path, data, imagej=True, metadata={"axes": "ZCYX", "unit": "um", "spacing": 2.0},
                         resolution=(4.0, 4.0))  # fmt: skip
        ds = volumes.open(path)
        assert ds["image"].dims == ("z", "y", "x", "channel")
        np.testing.assert_array_equal(ds["image"].values, data.transpose(0, 2, 3, 1))

    def test_ome_sizes_and_channel_names(self, tmp_path):
        path, data = tmp_path / "two.ome.tif", ramp(2, 3, 4, 5)
        said = {"axes": "CZYX", "PhysicalSizeX": 100.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.2,
                "PhysicalSizeZ": 0.5, "PhysicalSizeZUnit": "µm", "Channel": {"Name": ["DAPI", "GFP"]}}  # fmt: skip
        tifffile.imwrite(path, data, ome=True, metadata=said)
        ds = volumes.open(path)
        assert ds["channel"].values.tolist() == ["DAPI", "GFP"]
        assert steps(ds) == {"z": (0.5, "um"), "y": (0.2, "um"), "x": (pytest.approx(0.1), "um")}
        assert ds["image"].sel(channel="GFP").values[2, 3, 4] == data[1, 2, 3, 4]

    def test_print_resolution_is_no_pixel_size(self, tmp_path):
        path = tmp_path / "scan.tif"
        tifffile.imwrite(path, ramp(4, 5), resolution=(300, 300), resolutionunit="INCH")
        assert steps(volumes.open(path)) == {"y": (1.0, "px"), "x": (1.0, "px")}

    def test_several_series_must_be_chosen(self, tmp_path):
        path = tmp_path / "two.tif"
        with tifffile.TiffWriter(path) as writer:
            writer.write(ramp(4, 5))
            writer.write(ramp(6, 7))
        names = [item.name for item in volumes.contents(path)]
        assert len(names) == 2
        with pytest.raises(FileReadError, match="several shapes"):
            volumes.open(path)
        np.testing.assert_array_equal(volumes.open(path, name=names[1])["image"].values, ramp(6, 7))

    def test_large_files_are_lazy(self, tmp_path, monkeypatch, direct):
        path = tmp_path / "stack.tif"
        tifffile.imwrite(path, ramp(3, 4, 5), photometric="minisblack")
        monkeypatch.setattr(planes, "LAZY_ABOVE", 10)
        ds = volumes.open(path)
        assert ds["image"].chunks is not None
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5))

    def test_large_mrc_and_hdf5_files_are_lazy_too(self, tmp_path, monkeypatch, direct):
        with quiet_mrcfile(), mrcfile.new(tmp_path / "stack.mrc") as mrc:
            mrc.set_data(ramp(3, 4, 5))
            mrc.set_volume()
        with h5py.File(tmp_path / "stack.h5", "w") as file:
            file.create_dataset("plain", data=ramp(3, 4, 5)[None])
            file.create_dataset("chunked", data=ramp(3, 4, 5)[None], chunks=(1, 2, 2, 5))
        monkeypatch.setattr(planes, "LAZY_ABOVE", 10)
        for path, name in [("stack.mrc", None), ("stack.h5", "plain"), ("stack.h5", "chunked")]:
            dims = None if name is None else ("time", "z", "y", "x")
            ds = volumes.open(
                tmp_path / path, name=name, dims=dims, voxel={"time": "1 s", "z": 1, "y": 1, "x": 1} if name else None
            )
            assert ds["image"].chunks is not None
            # in one thread, as in the process of a reader: what mrcfile warns of is kept quiet for all threads at once
            image = ds["image"].compute(scheduler="synchronous")
            np.testing.assert_array_equal(image.transpose(..., "z", "y", "x").squeeze(), ramp(3, 4, 5))

    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_file_is_refused(self, tmp_path, compression, kept):
        path = tmp_path / "stack.tif"
        noise = np.random.default_rng(0).integers(0, 255, (6, 40, 50), dtype=np.uint8)
        tifffile.imwrite(path, noise, imagej=compression is None, compression=compression, metadata={"axes": "ZYX"})
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
        if kept == 0.999 and compression is None:
            np.testing.assert_array_equal(volumes.open(path)["image"].values, noise)
            return
        with pytest.raises(FileReadError, match=r"cut short|damaged"):
            volumes.open(path)

    def test_a_truncated_measured_file_is_refused(self, measured, tmp_path):
        whole = measured("confocal/colocsample1b-red.tif").read_bytes()
        path = tmp_path / "half.tif"
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(FileReadError, match=r"cut short|damaged"):
            volumes.open(path)


class TestImageJLabels:
    def write(self, path, labels):
        said = {"axes": "ZCYX", "unit": "um", "spacing": 2.0, "Labels": labels}
        tifffile.imwrite(path, values(3, 2, 5, 7), imagej=True, resolution=(4.0, 4.0), metadata=said)
        return volumes.open(path)["channel"].values.tolist()

    def test_labels_that_repeat_in_all_planes_name_the_channels(self, tmp_path):
        assert self.write(tmp_path / "two.tif", ["DAPI", "GFP"] * 3) == ["DAPI", "GFP"]

    @pytest.mark.parametrize("labels", [["DAPI", "GFP"], ["a"] * 6, ["a", "b", "c", "d", "e", "f"], ["DAPI"]])
    def test_other_labels_do_not(self, tmp_path, labels):
        named = labels == ["DAPI", "GFP"]
        assert self.write(tmp_path / "two.tif", labels) == (labels if named else [0, 1])


class TestTransmission:
    @pytest.mark.parametrize(("third", "dim", "step"), [("s", "time", 2.5), ("\u00b5m", "z", 2.5)])
    def test_axes_of_digital_micrograph(self, tmp_path, third, dim, step):
        """Its axes begin with x: unit, origin and step."""
        axes = (("\u00b5m", 7.0, 0.25), ("nm", 3.0, 500.0), (third, 0.0, 2.5))
        tags = [
            (first + i, code, None if code == "s" else 1, value.encode("latin-1") if code == "s" else value, False)
            for i, entries in enumerate(axes)
            for first, code, value in zip((65003, 65006, 65009), "sdd", entries, strict=True)
        ]
        data = ramp(3, 4, 5)
        tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", metadata=None, extratags=tags)
        ds = volumes.open(tmp_path / "a.tif")
        expected = {dim: step, "y": 0.5, "x": 0.25}
        assert {key: float(np.diff(ds[key])[0]) for key in expected} == pytest.approx(expected)
        assert (float(ds["y"][0]), float(ds["x"][0])) == pytest.approx((0.003, 7.0))
        np.testing.assert_array_equal(ds["image"].transpose(dim, "y", "x"), data)
