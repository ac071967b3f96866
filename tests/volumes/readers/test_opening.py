"""The options of volumes.open, and what it refuses whatever the format."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
from PIL import Image

import fusion
import spectra
import volumes
from fusion import provenance
from fusion.errors import ConventionError, FileReadError, UnitError
from tests.makers.images import ramp, steps
from volumes.readers import formats


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

    @pytest.mark.parametrize("technique", ["confocal", "SEM"])
    def test_the_technique_of_a_plain_file_can_be_given(self, path, technique):
        ds = fusion.check(volumes.open(path, technique=technique))
        assert ds.attrs["technique"] == technique
        assert fusion.techniques.find(ds.attrs["technique"])
        assert provenance.read(ds)["steps"][0]["parameters"] == {"technique": technique}

    def test_a_word_for_no_technique_is_refused(self, path):
        with pytest.raises(fusion.DataError, match="confocal"):
            volumes.open(path, technique="konfocal")

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
        assert [(s["name"], s["parameters"]) for s in record["steps"]] == [("volumes.open", {"name": "a"})]

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
        with pytest.raises(FileReadError, match="of 'image' lie in another file"):
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
