"""volumes.open against the reference readers, on files made here."""

import contextlib
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import scipy.io
import tifffile
import xarray as xr
from PIL import Image

import fusion
import spectra
import volumes
from fusion import provenance
from fusion.errors import ConventionError, FileReadError, UnitError
from tests.makers.images import quiet_mrcfile, ramp, steps
from volumes.readers import formats, planes


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


class TestMrc:
    def write(self, path, data, voxel=(1.0, 2.0, 3.0), order=(1, 2, 3), origin=(0.0, 0.0, 0.0), **header):
        with quiet_mrcfile(), mrcfile.new(path) as mrc:
            mrc.set_data(data)
            mrc.set_volume()
            mrc.voxel_size = voxel
            mrc.header.mapc, mrc.header.mapr, mrc.header.maps = order
            mrc.header.origin = origin
            for key, value in header.items():
                mrc.header[key] = value

    def test_sizes_in_angstrom_and_origin(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), origin=(100.0, 200.0, -300.0))
        ds = volumes.open(tmp_path / "a.mrc")
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5))
        assert ds["x"].values == pytest.approx([0.0100, 0.0101, 0.0102, 0.0103, 0.0104])
        assert ds["y"].values == pytest.approx([0.0200, 0.0202, 0.0204, 0.0206])
        assert ds["z"].values == pytest.approx([-0.0300, -0.0297, -0.0294])

    def test_axis_order_of_the_header(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), order=(2, 3, 1))
        ds = volumes.open(tmp_path / "a.mrc")
        assert ds.sizes == {"z": 4, "y": 5, "x": 3}
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5).transpose(1, 2, 0))

    def test_a_negative_size_is_turned_with_its_values(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), voxel=(1.0, -2.0, 3.0))
        ds = volumes.open(tmp_path / "a.mrc")
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5)[:, ::-1])
        assert ds["y"].values == pytest.approx([-0.0006, -0.0004, -0.0002, 0.0])

    def test_start_indices_place_a_cut_out(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), nxstart=10, nzstart=-2)
        ds = volumes.open(tmp_path / "a.mrc")
        assert float(ds["x"][0]) == pytest.approx(0.0010)
        assert float(ds["z"][0]) == pytest.approx(-0.0006)

    def test_a_stack_of_images_is_no_volume(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), ispg=0, mz=1)
        with pytest.raises(FileReadError, match="does not name the axes"):
            volumes.open(tmp_path / "a.mrc")
        ds = volumes.open(tmp_path / "a.mrc", dims=("tilt", "y", "x"), voxel={"tilt": "2 degree"})
        assert ds["image"].dims == ("y", "x", "tilt")

    @pytest.mark.parametrize("kept", [0.2, 0.9, 0.999])
    def test_a_truncated_file_is_refused(self, tmp_path, kept):
        path = tmp_path / "a.mrc"
        self.write(path, ramp(20, 20, 20))
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
        with pytest.raises(FileReadError, match="cut short"):
            volumes.open(path)

    def test_a_fourier_transform_is_refused(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5).astype(np.complex64))
        with pytest.raises(FileReadError, match="Fourier transform"):
            volumes.open(tmp_path / "a.mrc")


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

    def test_an_empty_folder_is_refused(self, tmp_path):
        with pytest.raises(FileReadError, match="holds no image"):
            volumes.open(tmp_path)

    def test_a_slice_damaged_later_is_named(self, tmp_path):
        self.write(tmp_path)
        ds = volumes.open(tmp_path)
        (tmp_path / "slice5.png").write_bytes((tmp_path / "slice5.png").read_bytes()[:40])
        with pytest.raises(FileReadError, match=r"slice5\.png"):
            ds["image"].compute()


class TestHdf5:
    def test_dimension_scales_are_read(self, tmp_path):
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("density", data=ramp(3, 4, 5))
            for i, (label, step) in enumerate({"x": 2.0, "z": 3.0, "y": 4.0}.items()):
                scale = file.create_dataset(label, data=1.0 + step * np.arange(data.shape[i]))
                scale.make_scale(label)
                scale.attrs["units"] = "nm"
                data.dims[i].label = label
                data.dims[i].attach_scale(scale)
        ds = volumes.open(path)
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5).transpose(1, 2, 0))
        assert ds["z"].values == pytest.approx([0.001, 0.004, 0.007, 0.010])

    def test_links_to_other_files_are_not_followed(self, tmp_path):
        with h5py.File(tmp_path / "secret.h5", "w") as file:
            file["image"] = ramp(4, 5)
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["own"] = ramp(4, 5)
            file["linked"] = h5py.ExternalLink("secret.h5", "/image")
        assert [item.name for item in volumes.contents(tmp_path / "a.h5")] == ["own"]
        with pytest.raises(FileReadError, match="holds no array 'linked'"):
            volumes.open(tmp_path / "a.h5", name="linked")

    def test_values_in_another_file_are_refused(self, tmp_path):
        (tmp_path / "secret.bin").write_bytes(bytes(range(20)))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("image", (4, 5), np.uint8, external=[("secret.bin", 0, 20)])
        with pytest.raises(FileReadError, match="lie in another file"):
            volumes.open(tmp_path / "a.h5")

    def test_virtual_datasets_are_refused(self, tmp_path):
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["image"] = ramp(4, 5)
        layout = h5py.VirtualLayout((4, 5), np.uint16)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "image", (4, 5))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_virtual_dataset("image", layout)
        with pytest.raises(FileReadError, match="lie in another file"):
            volumes.open(tmp_path / "a.h5")

    def test_a_truncated_file_is_refused(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["image"] = ramp(100, 100)
        path = tmp_path / "a.h5"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(FileReadError, match="cut short"):
            volumes.open(path)


class TestMatlab:
    def test_version_5(self, tmp_path):
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"map": ramp(4, 5), "scale": 3.0, "note": "text", "mask": np.eye(4, 5) > 0})
        found = {item.name: item.dtype for item in volumes.contents(path)}
        assert found == {"map": "uint16", "mask": "uint8"}
        np.testing.assert_array_equal(volumes.open(path, name="map")["image"].values, ramp(4, 5))
        np.testing.assert_array_equal(volumes.open(path, name="mask")["image"].values, np.eye(4, 5))

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("kind", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
    def test_every_class_as_scipy_reads_it(self, tmp_path, kind, packed):
        path, data = tmp_path / "a.mat", (ramp(3, 4, 5) % 120).astype(kind)
        scipy.io.savemat(path, {"a": data, "b": ["text"], "c": {"d": data}, "e": data + 1j}, do_compression=packed)
        assert [(item.name, item.dtype) for item in volumes.contents(path)] == [("a", np.dtype(kind).name)]
        ds = volumes.open(path, dims=("z", "y", "x"))
        np.testing.assert_array_equal(ds["image"].values, scipy.io.loadmat(path)["a"])

    def test_damaged_files_never_end_the_process(self, tmp_path):
        path, rng = tmp_path / "a.mat", np.random.default_rng(1)
        scipy.io.savemat(path, {"a": ramp(12, 13), "b": ramp(12, 13)})
        whole = path.read_bytes()
        for _ in range(300):
            damaged = bytearray(whole)
            for place in rng.integers(100, len(whole), 4):
                damaged[place] = rng.integers(0, 256)
            path.write_bytes(damaged)
            with contextlib.suppress(FileReadError):
                volumes.open(path)

    def test_version_7_3_is_stored_backwards(self, tmp_path):
        path = tmp_path / "a.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file["map"] = ramp(3, 4, 5).T
            file["inside/hidden"] = ramp(3, 4)
        with path.open("r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        assert volumes.contents(path)[0].shape == (3, 4, 5)
        ds = volumes.open(path, dims=("z", "y", "x"))
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5))


class TestOptions:
    @pytest.fixture
    def path(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5), imagej=True, resolution=(2.0, 2.0), metadata={"unit": "um"})
        return tmp_path / "a.tif"

    def test_a_given_size_overrides_openly(self, path):
        ds = volumes.open(path, voxel="62 nm")
        assert steps(ds) == {"y": (pytest.approx(0.062), "um"), "x": (pytest.approx(0.062), "um")}
        assert "the file has others" in ds.attrs["voxel_given"]
        assert provenance.read(ds)["steps"][0]["parameters"]["voxel"] == "62 nm"
        assert "voxel_given" not in volumes.open(path).attrs

    def test_bare_numbers_take_the_unit(self, path):
        assert steps(volumes.open(path, voxel=62, units="nm"))["x"][0] == pytest.approx(0.062)
        assert steps(volumes.open(path, voxel={"y": 1.0, "x": 2.0}))["x"] == (2.0, "um")

    @pytest.mark.parametrize("voxel", ["0 nm", "-3 nm", "3 keV", "3 px", {"z": "1 nm"}])
    def test_a_size_that_is_none_is_refused(self, path, voxel):
        with pytest.raises(UnitError):
            volumes.open(path, voxel=voxel)

    def test_one_size_of_two_is_refused(self, tmp_path):
        tifffile.imwrite(tmp_path / "b.tif", ramp(4, 5))
        with pytest.raises(FileReadError, match="known along x but not along y"):
            volumes.open(tmp_path / "b.tif", voxel={"x": "1 nm"})

    def test_dims_rename_the_axes_of_the_file(self, path):
        ds = volumes.open(path, dims=("z", "x"))
        assert ds["image"].dims == ("z", "x")
        with pytest.raises(FileReadError, match="does not fit"):
            volumes.open(path, dims=("z", "y", "x"))
        with pytest.raises((ConventionError, FileReadError), match="row"):
            volumes.open(path, dims=("row", "x"))

    def test_labels_of_whole_numbers(self, tmp_path):
        values = np.array([[0, 1, 1], [3, 3, 0]], np.uint8)
        Image.fromarray(values).save(tmp_path / "a.png")
        ds = volumes.open(tmp_path / "a.png", labels=True)
        assert ds["labels"].attrs["flag_values"].tolist() == [0, 1, 3]
        assert "cell_methods" not in ds["labels"].attrs
        np.testing.assert_array_equal(ds["labels"].values, values)
        tifffile.imwrite(tmp_path / "a.tif", values.astype(np.float32))
        with pytest.raises(FileReadError, match="whole numbers"):
            volumes.open(tmp_path / "a.tif", labels=True)

    def test_what_fusion_saved_comes_back(self, path, tmp_path):
        ds = volumes.open(path)
        fusion.save(ds, tmp_path / "own.nc")
        xr.testing.assert_identical(volumes.open(tmp_path / "own.nc").load(), ds)

    def test_a_project_needs_a_name(self, path, tmp_path):
        ds = volumes.open(path)
        fusion.save(xr.DataTree.from_dict({"sem": ds, "map": ds}), tmp_path / "own.nc")
        xr.testing.assert_identical(volumes.open(tmp_path / "own.nc", name="sem").load(), ds)
        with pytest.raises(FileReadError, match="'sem'"):
            volumes.open(tmp_path / "own.nc")

    def test_the_input_is_only_read(self, path):
        before = path.read_bytes(), path.stat().st_mtime_ns
        path.chmod(0o444)
        ds = volumes.open(path)
        ds["image"].values[:] = 0
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before

    def test_provenance_names_the_file(self, path):
        record = provenance.read(volumes.open(path, name="a"))
        assert record["inputs"] == [{"path": "a.tif", "sha256": provenance.sha256(path)}]
        assert record["steps"] == [{"name": "volumes.open", "parameters": {"name": "a"}}]

    def test_a_name_that_is_not_listed_is_refused(self, path):
        with pytest.raises(FileReadError, match="it holds no array 'gren'; leave name= out for 'a'"):
            volumes.open(path, name="gren")

    def test_all_of_one_file_share_its_frame(self, path, tmp_path):
        frames = {fusion.get_pose(volumes.open(path, name=name))[1] for name in (None, "a")}
        assert len(frames) == 1
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file["Co"], file["Mn"] = ramp(4, 5), ramp(4, 5)
        frames = {fusion.get_pose(volumes.open(tmp_path / "b.h5", name=name))[1] for name in (None, "Co", "Mn")}
        assert len(frames) == 1
        assert frames.pop().startswith("b.h5 ")

    @pytest.mark.parametrize("step", ["two degree", "nan degree", "0 degree", "inf degree", "", "2 um"])
    def test_a_step_that_is_no_number_is_refused(self, tmp_path, step):
        tifffile.imwrite(tmp_path / "tilts.tif", ramp(4, 5, 6), photometric="minisblack")
        with pytest.raises(UnitError, match=r"the step along tilt is a number and a unit|cannot convert 'um'"):
            volumes.open(tmp_path / "tilts.tif", dims=("tilt", "y", "x"), voxel={"tilt": step})

    @pytest.mark.parametrize(
        "more",
        [
            {"voxel": "5 nm"},
            {"voxel": 0.0},
            {"dims": ("x", "y")},
            {"units": "nm"},
            {"labels": True},
            {"labels": {"a": 0}},
        ],
    )
    def test_what_fusion_saved_takes_no_options(self, path, tmp_path, more):
        fusion.save(volumes.open(path), tmp_path / "own.nc")
        with pytest.raises(FileReadError, match=f"{next(iter(more))} cannot apply to it; leave that out"):
            volumes.open(tmp_path / "own.nc", **more)

    def test_the_contents_of_a_project(self, path, tmp_path):
        sem = volumes.open(path, voxel="5 nm")
        shares = ("y", "x", "component"), np.ones((4, 5, 2))
        spectra = ("y", "x", "energy"), np.ones((4, 5, 3))
        variables = {"abundance": shares, "abundance_stderr": shares, "spectrum": spectra}
        named = {
            **{dim: fusion.Axis("px", 1.0) for dim in "yx"},
            "component": list("ab"),
            "energy": fusion.Axis("keV", 1.0),
        }
        fused = fusion.dataset(variables, named, name="fused", cell_methods="mean")
        fused["abundance"].attrs["ancillary_variables"] = "abundance_stderr"
        fusion.save(xr.DataTree.from_dict({"fused": fused, "sem": sem}), tmp_path / "project.nc")
        listed = {item.name: (item.dims, item.units) for item in volumes.contents(tmp_path / "project.nc")}
        assert listed == {
            "fused/abundance": (("y", "x", "component"), ("px", "px", "1")),
            "fused/abundance_stderr": (("y", "x", "component"), ("px", "px", "1")),
            "sem/image": (("y", "x"), ("um", "um")),
        }
        for name in listed:
            assert name.rpartition("/")[2] in volumes.open(tmp_path / "project.nc", name=name)
        one = volumes.open(tmp_path / "project.nc", name="fused/abundance").load()
        xr.testing.assert_identical(one, fused[["abundance", "abundance_stderr"]])
        with pytest.raises(FileReadError, match=r"it holds no 'semm'; name one of 'fused', 'sem', 'fused/abundance'"):
            volumes.open(tmp_path / "project.nc", name="semm")

    def test_the_contents_of_one_saved_dataset(self, path, tmp_path):
        fusion.save(volumes.open(path), tmp_path / "own.nc")
        assert [item.name for item in volumes.contents(tmp_path / "own.nc")] == ["image"]
        assert "image" in volumes.open(tmp_path / "own.nc", name="image")
        with pytest.raises(FileReadError, match="it holds no 'sem'; name one of 'image'"):
            volumes.open(tmp_path / "own.nc", name="sem")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file"), (b"", "is empty"), (b"hello world", "unknown format")]
)
def test_what_is_no_image_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.tif"
    if content is not None:
        path.write_bytes(content)
    for read in (volumes.open, volumes.contents):
        with pytest.raises(FileReadError, match=reason):
            read(path)


HEADS = [b"II*\0", b"MM\0*", b"\x89PNG\r\n\x1a\n", b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0 MAT-file",
         b"MATLAB 7.3 MAT-file", b"CDF\1", b"\0" * 208 + b"MAP "]  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("tail", [b"", b"\xff" * 600, bytes(range(256)) * 4])
def test_a_right_head_on_a_wrong_body_is_refused(tmp_path, head, tail):
    path = tmp_path / "a.bin"
    path.write_bytes(head + tail)
    with pytest.raises(FileReadError):
        volumes.open(path)


@pytest.mark.parametrize("wing", [spectra, volumes])
@pytest.mark.parametrize("way", ["link", "values"])
def test_netcdf_that_points_elsewhere_is_refused_by_both_wings(tmp_path, wing, way):
    (tmp_path / "secret").write_bytes(bytes(range(20)))
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:
        if way == "link":
            file["image"] = h5py.ExternalLink("secret", "/image")
        else:
            file.create_dataset("image", (4, 5), np.uint8, external=[("secret", 0, 20)])
    for read in (wing.open, wing.contents):
        with pytest.raises(FileReadError, match="'image' lies in another file"):
            read(path)


def test_both_wings_list_one_file_alike(tmp_path):
    ds = fusion.dataset({"image": (("y", "x"), ramp(4, 5))}, dict.fromkeys("yx", fusion.Axis("nm", 250.0)),
                        name="sem", cell_methods="mean")  # fmt: skip
    path = fusion.save(ds, tmp_path / "sem.nc")
    (seen,), (listed,) = volumes.contents(path), spectra.contents(path)
    assert seen[1:] == listed[1:] == ("image", ("y", "x"), (4, 5), "uint16", ("um", "um"), "")


def test_each_format_of_the_table_is_known_before_one_of_which_it_is_a_kind():
    places = {known.name: place for place, known in enumerate(formats.FORMATS)}
    assert len(places) == len(formats.FORMATS)
    for kind, broader in (("JPK", "TIFF"), ("SMAP", "MATLAB 7.3"), ("Picasso", "HDF5"), ("NetCDF 4", "HDF5")):
        assert places[kind] < places[broader]


def test_xarray_knows_the_engine(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp(4, 5))
    ds = xr.open_dataset(path, engine="volumes", voxel="5 nm")
    assert steps(ds)["x"] == (pytest.approx(0.005), "um")
    from volumes.readers.backend import VolumesBackend

    guesses = {suffix: VolumesBackend().guess_can_open(Path(f"a{suffix}")) for suffix in (".tif", ".mrc", ".nc", ".h5")}
    assert guesses == {".tif": True, ".mrc": True, ".nc": False, ".h5": False}
