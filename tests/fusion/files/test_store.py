"""The file: the same after the round trip, readable by strangers, and never half written."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fusion
from fusion import Axis
from tests.makers.datasets import assert_same, rich, small, tree

# the same after the round trip


@pytest.mark.parametrize("make", [small, rich, tree])
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, make: Callable[[], Any]) -> None:
    data = make()
    loaded = fusion.load(fusion.save(data, tmp_path / "project.nc"))
    assert loaded.identical(data)
    assert_same(loaded, data)


def test_saving_changes_nothing_in_memory(tmp_path: Path) -> None:
    ds = rich()
    ds["image"].encoding = {"scale_factor": 3.0, "dtype": "int16", "_FillValue": -1}
    before, texts = ds.copy(deep=True), {name: repr(v.attrs) for name, v in ds.variables.items()}
    for variable in ds.variables.values():
        variable.values.setflags(write=False)
    loaded = fusion.load(fusion.save(ds, tmp_path / "map.nc"))
    xr.testing.assert_identical(ds, before)
    assert {name: repr(v.attrs) for name, v in ds.variables.items()} == texts
    assert ds["image"].encoding["scale_factor"] == 3.0
    xr.testing.assert_identical(loaded, ds)


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?"]),
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
    ),
    st.floats(1e-9, 1e9),
    st.floats(-1e9, 1e9),
)
def test_every_number_keeps_its_type_and_value(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, step: float, offset: float
) -> None:
    axes = {"y": Axis("um", step), "x": Axis("um", values=offset + (1 + abs(offset)) * np.arange(values.shape[1]))}
    ds = fusion.dataset({"v": (("y", "x"), values)}, axes, name="v", cell_methods="mean")
    loaded = fusion.load(fusion.save(ds, tmp_path_factory.mktemp("any") / "v.nc"))
    assert loaded["v"].dtype == values.dtype
    assert loaded["v"].values.tobytes() == values.tobytes()
    for dim in "yx":
        assert loaded[dim].dtype == np.float64
        assert loaded[dim].values.tobytes() == ds[dim].values.tobytes()


attr_values = st.one_of(
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(st.floats(allow_nan=False), min_size=2, max_size=5),
    st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=2, max_size=4),
    st.sampled_from([np.float32(1.5), np.int16(-3), np.str_("text"), np.array(["a", "b"]), np.arange(3, dtype="u1")]),
)


@settings(max_examples=25, deadline=None)
@given(attr_values)
def test_attributes_keep_their_value_and_kind(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    ds = small(note=value)
    ds["image"].attrs["note"] = value
    loaded = fusion.load(fusion.save(ds, tmp_path_factory.mktemp("attrs") / "a.nc"))
    for found in (loaded.attrs["note"], loaded["image"].attrs["note"]):
        np.testing.assert_array_equal(found, value)
        assert np.asarray(found).dtype.kind == np.asarray(value).dtype.kind
    assert loaded.identical(ds)


@pytest.mark.parametrize("unit", ["s", "ms", "day", "h", "count", "1"])
def test_units_that_look_like_time_do_not_change_the_values(tmp_path: Path, unit: str) -> None:
    ds = small(np.array([[0, 1, 2], [40000, 50000, 65535]], dtype=np.uint16))
    ds["image"].attrs["units"] = unit
    loaded = fusion.load(fusion.save(ds, tmp_path / "t.nc"))
    assert loaded.identical(ds)
    assert loaded["image"].dtype == np.uint16


def test_a_time_axis_stays_a_number_of_seconds(tmp_path: Path) -> None:
    ds = fusion.dataset({"v": (("time",), np.arange(3.0))}, {"time": Axis("ms", 5.0)}, name="decay")
    loaded = fusion.load(fusion.save(ds, tmp_path / "decay.nc"))
    np.testing.assert_array_equal(loaded["time"].values, ds["time"].values)
    assert loaded["time"].dtype == np.float64


def test_coordinates_of_two_loaded_files_still_join(tmp_path: Path) -> None:
    """After a float32 round trip xarray's inner join keeps a fraction of the points, silently."""
    axes = {"x": Axis("um", 0.1, 0.7)}
    ds = fusion.dataset({"v": (("x",), np.ones(50))}, axes, name="line", cell_methods="mean")
    loaded = fusion.load(fusion.save(ds, tmp_path / "line.nc"))
    assert (loaded["v"] + ds["v"]).sizes["x"] == 50
    narrowed = ds.assign_coords(x=ds["x"].astype(np.float32).astype(np.float64))
    assert (narrowed["v"] + ds["v"]).sizes["x"] < 25


def test_values_that_compress_badly_or_well_are_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for values in (rng.normal(size=(400, 500)), np.zeros((400, 500)), np.full((400, 500), np.nan)):
        loaded = fusion.load(fusion.save(small(values), tmp_path / "large.nc"))
        np.testing.assert_array_equal(loaded["image"].values, values)


# lazy


def test_lazy_data_are_written_and_read_block_by_block(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=(300, 200))
    ds = small(values)
    path = fusion.save(ds.chunk({"y": 70, "x": 90}), tmp_path / "lazy.nc")
    lazy = fusion.load(path, chunks={})
    assert isinstance(lazy["image"].data, da.Array)
    assert lazy["image"].data.npartitions > 1
    xr.testing.assert_identical(lazy.compute(), ds)
    halves = fusion.load(path, chunks={"y": 140})
    assert halves["image"].chunksizes["y"] == (140, 140, 20)
    lazy.close()


def test_a_file_may_be_replaced_by_what_is_read_from_it(tmp_path: Path) -> None:
    path = fusion.save(small(np.random.default_rng(3).normal(size=(300, 200))), tmp_path / "self.nc")
    lazy = fusion.load(path, chunks={})
    expected = lazy["image"].values * 2.0
    doubled = (lazy["image"] * 2.0).assign_attrs(lazy["image"].attrs)
    fusion.save(lazy.assign(image=doubled), path)
    lazy.close()
    np.testing.assert_array_equal(fusion.load(path)["image"].values, expected)


def test_a_loaded_file_is_closed(tmp_path: Path) -> None:
    path = fusion.save(tree(), tmp_path / "p.nc")
    fusion.load(path)
    with h5py.File(path, "r+") as file:
        assert set(file) == {"fused", "map", "sem"}


def test_data_that_break_the_conventions_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(fusion.ConventionError):
        fusion.save(small().drop_vars("x"), tmp_path / "bad.nc")
    with pytest.raises(fusion.StoreError, match="nothing to save"):
        fusion.save(xr.Dataset(), tmp_path / "bad.nc")
    assert list(tmp_path.iterdir()) == []


def test_variables_in_the_root_of_a_tree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(fusion.ConventionError, match="put them into a node, such as 'fused'"):
        fusion.save(xr.DataTree(small()), tmp_path / "t.nc")
    assert list(tmp_path.iterdir()) == []


def test_names_that_xarray_would_take_for_one_another_are_refused(tmp_path: Path) -> None:
    points = fusion.dataset({"photons": ("point", np.ones(2))}, {"x": Axis("um", values=[1.0, 2.0])}, name="p")
    nested = xr.DataTree.from_dict({"/storm": points, "/storm/point": small()})
    with pytest.raises(fusion.ConventionError, match="a dim of /storm has this name"):
        fusion.save(nested, tmp_path / "t.nc")


TREES: dict[str, Any] = {
    "attributes of the root": lambda: xr.DataTree(
        xr.Dataset(attrs={"note": "kept", "number": 3}), {"sem": xr.DataTree(small())}
    ),
    "nodes within nodes": lambda: xr.DataTree.from_dict({"/fused": small(), "/fused/sem": small()}),
    "a node named like a variable": lambda: xr.DataTree.from_dict({"/fused": small(), "/image": small()}),
    "only fused": lambda: xr.DataTree.from_dict({"/fused": small()}),
    "empty nodes": lambda: xr.DataTree.from_dict({"/a/b": small(), "/c": xr.Dataset(attrs={"x": 1})}, name="specimen"),
    "inherited coordinates": lambda: xr.DataTree.from_dict(
        {"/sem": small(), "/sem/child": small(np.ones((2, 3))).drop_vars(["y", "x", "pose"])}
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TREES)
def test_trees_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    tree = TREES[kind]()
    assert_same(fusion.load(fusion.save(tree, tmp_path / "t.nc")), tree)


# strangers


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return fusion.save(tree(), tmp_path / "project.nc")


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_plain_xarray_opens_the_tree(project: Path, engine: Any) -> None:
    opened = xr.open_datatree(project, engine=engine)
    assert [node.path for node in opened.subtree] == [node.path for node in tree().subtree]
    xr.testing.assert_identical(opened["fused/v"].drop_vars("pose"), tree()["fused/v"].drop_vars("pose"))
    opened.close()
    groups = xr.open_groups(project, engine=engine)
    np.testing.assert_array_equal(groups["/map"]["counts"].values, rich()["counts"].values)
    np.testing.assert_array_equal(groups["/map"]["x"].values, rich()["x"].values)
    for group in groups.values():
        group.close()


def test_netcdf4_shows_the_same_values_units_and_spacing(project: Path) -> None:
    with netCDF4.Dataset(project) as file:
        volume = file["fused/v"]
        assert volume.dimensions == ("z", "y", "x")
        np.testing.assert_array_equal(volume[...], tree()["fused"]["v"].values)
        for dim, step, start in (("z", 0.3, 5.0), ("y", 0.2, -1.0), ("x", 0.1, 2.0)):
            assert (file["fused"][dim].units, file["fused"][dim].axis, file["fused"][dim].dtype) == (
                "um",
                dim.upper(),
                np.float64,
            )
            np.testing.assert_allclose(np.diff(file["fused"][dim][...]), step, rtol=1e-9)
            assert file["fused"][dim][0] == start
        assert file["fused"].Conventions.startswith("CF-")
        assert file["fused"][volume.grid_mapping].frame == "fused"
        counts = file["map/counts"]
        assert (counts.units, counts.dimensions, counts.dtype) == ("count", ("y", "x", "energy"), np.uint16)
        np.testing.assert_array_equal(counts[...], rich()["counts"].values)
        image = file["map/image"][...]
        np.testing.assert_array_equal(np.ma.filled(image, np.nan), rich()["image"].values)


def test_h5py_shows_the_same_values(project: Path) -> None:
    with h5py.File(project) as file:
        np.testing.assert_array_equal(file["fused/v"][...], tree()["fused"]["v"].values)
        assert [scale[0].name for scale in file["fused/v"].dims] == ["/fused/z", "/fused/y", "/fused/x"]
        np.testing.assert_array_equal(file["map/energy"][...], rich()["energy"].values)
        letters = [row.tobytes().rstrip(b"\0").decode() for row in file["map/formula"][...]]
        assert letters == rich()["formula"].values.tolist()


def test_a_copied_file_is_the_same_project(project: Path, tmp_path: Path) -> None:
    assert fusion.load(shutil.copy(project, tmp_path / "copy.nc")).identical(tree())


@pytest.mark.parametrize("lazy", [False, True])
def test_a_file_compressed_by_zstd_is_read_where_hdf5_has_it(tmp_path: Path, lazy: bool) -> None:
    values = np.random.default_rng(0).normal(size=(40, 50))
    ds = small(values)
    path = fusion.save(ds.chunk({"y": 7}) if lazy else ds, tmp_path / "z.nc", compression="zstd")
    assert fusion.verify(path).intact
    assert_same(fusion.load(path), ds)
    with netCDF4.Dataset(path) as file:
        assert file["image"].filters()["zstd"]
        np.testing.assert_array_equal(file["image"][:], values)


def test_zstd_is_refused_where_hdf5_lacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fusion.save(small(), tmp_path / "z.nc", compression="zstd")
    monkeypatch.setattr("fusion.files.store.find_zstd", lambda: False)
    with pytest.raises(fusion.StoreError, match="install netCDF4, or import hdf5plugin"):
        fusion.save(small(), tmp_path / "other.nc", compression="zstd")
    with pytest.raises(fusion.FileReadError, match="install netCDF4, or import hdf5plugin"):
        fusion.load(path)
    with pytest.raises(fusion.StoreError, match="one of zlib, zstd"):
        fusion.save(small(), path, compression="lzma")  # type: ignore[arg-type]


STREAMED = """
import resource, sys
import dask.array as da
import numpy as np
import fusion
from fusion import Axis

def save(rows):
    values = da.ones((rows, 100_000), chunks=(10, 100_000), dtype=np.uint8)
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
    fusion.save(fusion.dataset({"image": (("y", "x"), values)}, axes, name="v", cell_methods="mean"), sys.argv[1])
    return values.nbytes / 1e6

save(100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = save(6000)
print(size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss")
def test_a_lazy_dataset_streams_in_a_twentieth_of_its_size(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STREAMED, str(tmp_path / "v.nc")]
    root = Path(fusion.__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    size, grown = map(float, done.stdout.split())
    assert size == 600.0
    assert grown < size / 20
