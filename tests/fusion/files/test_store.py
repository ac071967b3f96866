"""The file: the same after the round trip, readable by strangers, and never half written."""

import os
import shutil
import signal
import subprocess
import sys
import time
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
from fusion.files import store

XY = {"y": Axis("um", 0.25, -1.0), "x": Axis("um", 0.5, 3.0)}


def small(values: Any = None, **attrs: Any) -> xr.Dataset:
    values = np.arange(6.0).reshape(2, 3) if values is None else values
    return fusion.dataset({"image": (("y", "x"), values)}, XY, name="sem", cell_methods="mean", attrs=attrs)


def rich() -> xr.Dataset:
    """Return a dataset with every kind of content: counts, NaN, text, labels, a plane, a tilted and vague pose."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(4, 5))
    image[1, 2] = np.nan
    root = rng.normal(size=(12, 12))
    return fusion.dataset(
        {
            "counts": (("y", "x", "energy"), rng.poisson(3.0, (4, 5, 6)).astype(np.uint16), {"units": "count"}),
            "image": (("y", "x"), image),
            "single": (("y", "x"), image.astype(np.float32)),
            "phase": (("y", "x"), np.ones((4, 5), np.int8), {"flag_values": np.int8([0, 1]), "flag_meanings": "a b"}),
            "endmember": (("component", "energy"), rng.uniform(size=(2, 6))),
            "formula": (("component",), np.array(["Fe₂O₃", "Al2O3 µ"])),
        },
        {**XY, "z": Axis("nm", values=70.0), "energy": Axis("eV", 10.0), "component": ["hématite", "corundum"]},
        name="map", cell_methods={"counts": "sum", "image": "mean", "single": "mean"}, frame="Bühne ☃",
        pose=fusion.Affine(fusion.Affine.rotation(9.0).matrix, covariance=root @ root.T),
        attrs={"operator": "Zoë", "kv": 15.0, "frames": 3, "window": [1.5, 2.5], "words": ["a", "b"], "empty": ""},
    )  # fmt: skip


def tree() -> xr.DataTree:
    axes = {"z": Axis("um", 0.3, 5.0), "y": Axis("um", 0.2, -1.0), "x": Axis("um", 0.1, 2.0)}
    values = {"v": (("z", "y", "x"), np.arange(60.0, dtype=np.float32).reshape(3, 4, 5))}
    fused = fusion.dataset(values, axes, name="fused", cell_methods="mean")
    return xr.DataTree.from_dict({"/fused": fused, "/map": rich(), "/sem/lamella": small(), "/sem/overview": small()})


# the same after the round trip


@pytest.mark.parametrize("make", [small, rich, tree])
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, make: Callable[[], Any]) -> None:
    data = make()
    loaded = fusion.load(fusion.save(data, tmp_path / "project.nc"))
    assert type(loaded) is type(data)
    assert loaded.identical(data)
    nodes = zip(loaded.subtree, data.subtree, strict=True) if isinstance(data, xr.DataTree) else [(loaded, data)]
    for found, expected in nodes:
        for name, variable in expected.variables.items():
            assert found.variables[name].dtype == variable.dtype or variable.dtype.kind == "U"
            assert found.variables[name].dims == variable.dims


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


@settings(max_examples=40, deadline=None)
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


@settings(max_examples=60, deadline=None)
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
        assert set(file) > {"map", "sem", "v"}


# never half written


def leftovers(folder: Path, *expected: str) -> list[str]:
    return sorted({place.name for place in folder.iterdir()} - set(expected))


def fail_on_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)


def fail_on_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)


def fail_on_second_group(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = store._write, []

    def full(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(store, "_write", full)


def lose_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    real = store._write

    def forgetful(ds: xr.Dataset, path: Path, group: str, mode: str) -> None:
        real(ds.drop_vars(list(ds.data_vars)[:1]), path, group, mode)

    monkeypatch.setattr(store, "_write", forgetful)


def flip_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    real = store._write

    def careless(ds: xr.Dataset, path: Path, group: str, mode: str) -> None:
        real(ds, path, group, mode)
        with h5py.File(path, "r+") as file:
            name = "v" if "v" in file else "image"
            file[name][...] = np.nan

    monkeypatch.setattr(store, "_write", careless)


FAILURES = [fail_on_replace, fail_on_flush, fail_on_second_group, lose_a_variable, flip_a_value]


@pytest.mark.parametrize("fail", FAILURES)
def test_an_older_file_survives_a_failure_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[pytest.MonkeyPatch], None]
) -> None:
    path = fusion.save(small(), tmp_path / "p.nc")
    before = path.read_bytes()
    fail(monkeypatch)
    with pytest.raises(fusion.StoreError):
        fusion.save(tree(), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert leftovers(tmp_path, "p.nc") == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_any_other_error_passes_through_and_the_older_file_survives(tmp_path: Path, error: type[BaseException]) -> None:
    def explode(block: np.ndarray) -> np.ndarray:
        raise error("in the middle of a lazy computation")

    path = fusion.save(small(), tmp_path / "p.nc")
    before = path.read_bytes()
    values = da.zeros((20, 30), chunks=10).map_blocks(explode, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(error):
        fusion.save(small(values), path)
    assert path.read_bytes() == before
    assert leftovers(tmp_path, "p.nc") == []


def test_a_lazy_block_that_was_not_written_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = store._write

    def holey(ds: xr.Dataset, path: Path, group: str, mode: str) -> None:
        real(ds, path, group, mode)
        with h5py.File(path, "r+") as file:
            kept = {key: file["image"].attrs[key] for key in ("DIMENSION_LIST",)}
            values, chunks = file["image"][...], file["image"].chunks
            del file["image"]
            file.create_dataset("image", values.shape, values.dtype, chunks=chunks)[: chunks[0]] = values[: chunks[0]]
            file["image"].attrs.update(kept)

    monkeypatch.setattr(store, "_write", holey)
    lazy = small(da.ones((400, 300), chunks=(100, 300)))
    with pytest.raises(fusion.StoreError):
        fusion.save(lazy, tmp_path / "holey.nc")
    assert leftovers(tmp_path) == []


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
import fusion
from fusion import Axis
from fusion.files import store

def hang(path):
    Path(sys.argv[2]).touch()
    time.sleep(60)

store._flush = hang
axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
ds = fusion.dataset({"image": (("y", "x"), np.ones((300, 300)))}, axes, name="new", cell_methods="mean")
fusion.save(ds, sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_an_older_file_survives_a_kill_half_way(tmp_path: Path) -> None:
    """Nobody can tidy up after SIGKILL: the half-written sibling stays, hidden, under a name that is not in use."""
    folder, written = tmp_path / "data", tmp_path / "written"
    folder.mkdir()
    path = fusion.save(small(), folder / "p.nc")
    before = path.read_bytes()
    root = Path(fusion.__file__).parents[1]
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(path), str(written)], cwd=root)
    try:
        while child.poll() is None and not written.exists():
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert all(name.startswith(".p-") for name in leftovers(folder, "p.nc"))
    fusion.save(small(), path)
    assert fusion.load(path).identical(small())


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(fusion.StoreError, match="choose a folder that exists"):
        fusion.save(small(), tmp_path / "missing" / "p.nc")
    with pytest.raises(fusion.StoreError, match=r"must end in '\.nc'"):
        fusion.save(small(), tmp_path / "p.h5")
    (tmp_path / "folder.nc").mkdir()
    with pytest.raises(fusion.StoreError, match="could not be written"):
        fusion.save(small(), tmp_path / "folder.nc")
    assert leftovers(tmp_path) == ["folder.nc"]


def test_data_that_break_the_conventions_are_not_saved(tmp_path: Path) -> None:
    for bad in (small().drop_vars("x"), small().drop_vars("pose")):
        with pytest.raises(fusion.ConventionError):
            fusion.save(bad, tmp_path / "bad.nc")
    with pytest.raises(fusion.StoreError, match="nothing to save"):
        fusion.save(xr.Dataset(), tmp_path / "bad.nc")
    assert leftovers(tmp_path) == []


def with_root_variables() -> xr.DataTree:
    return xr.DataTree(small())


def with_root_attrs() -> xr.DataTree:
    data = xr.DataTree.from_dict({"/sem": small()})
    data.attrs["note"] = "lost?"
    return data


def with_children_of_fused() -> xr.DataTree:
    return xr.DataTree.from_dict({"/fused": small(), "/fused/sem": small()})


def with_a_node_named_like_a_variable() -> xr.DataTree:
    return xr.DataTree.from_dict({"/fused": small(), "/image": small()})


@pytest.mark.parametrize(
    "make", [with_root_variables, with_root_attrs, with_children_of_fused, with_a_node_named_like_a_variable]
)
def test_trees_that_a_file_cannot_hold_are_refused_rather_than_cut(
    tmp_path: Path, make: Callable[[], xr.DataTree]
) -> None:
    with pytest.raises(fusion.ConventionError):
        fusion.save(make(), tmp_path / "t.nc")
    assert leftovers(tmp_path) == []


# strangers


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return fusion.save(tree(), tmp_path / "project.nc")


def test_plain_xarray_shows_the_fused_volume_and_the_groups(project: Path) -> None:
    with xr.open_dataset(project) as root:
        xr.testing.assert_identical(root["v"].drop_vars("pose"), tree()["fused"]["v"].drop_vars("pose"))
    groups = xr.open_groups(project)
    assert {"/", "/map", "/sem/lamella", "/sem/overview"} <= set(groups)
    np.testing.assert_array_equal(groups["/map"]["counts"].values, rich()["counts"].values)
    np.testing.assert_array_equal(groups["/map"]["x"].values, rich()["x"].values)
    for group in groups.values():
        group.close()


def test_netcdf4_shows_the_same_values_units_and_spacing(project: Path) -> None:
    with netCDF4.Dataset(project) as file:
        volume = file["v"]
        assert volume.dimensions == ("z", "y", "x")
        np.testing.assert_array_equal(volume[...], tree()["fused"]["v"].values)
        for dim, step, start in (("z", 0.3, 5.0), ("y", 0.2, -1.0), ("x", 0.1, 2.0)):
            assert (file[dim].units, file[dim].axis, file[dim].dtype) == ("um", dim.upper(), np.float64)
            np.testing.assert_allclose(np.diff(file[dim][...]), step, rtol=1e-9)
            assert file[dim][0] == start
        assert file.Conventions.startswith("CF-")
        assert file[volume.grid_mapping].frame == "fused"
        counts = file["map/counts"]
        assert (counts.units, counts.dimensions, counts.dtype) == ("count", ("y", "x", "energy"), np.uint16)
        np.testing.assert_array_equal(counts[...], rich()["counts"].values)
        image = file["map/image"][...]
        np.testing.assert_array_equal(np.ma.filled(image, np.nan), rich()["image"].values)


def test_h5py_shows_the_same_values(project: Path) -> None:
    with h5py.File(project) as file:
        np.testing.assert_array_equal(file["v"][...], tree()["fused"]["v"].values)
        assert [scale[0].name for scale in file["v"].dims] == ["/z", "/y", "/x"]
        np.testing.assert_array_equal(file["map/energy"][...], rich()["energy"].values)
        assert file["map/formula"].asstr()[...].tolist() == rich()["formula"].values.tolist()


def test_the_netcdf_reader_of_vtk_shows_the_same_volume(project: Path) -> None:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIONetCDF import vtkNetCDFCFReader

    reader = vtkNetCDFCFReader()
    reader.SetFileName(str(project))
    reader.SphericalCoordinatesOff()
    reader.UpdateMetaData()
    reader.SetDimensions("(z, y, x)")
    reader.Update()
    grid = reader.GetOutput()
    fused = tree()["fused"]
    assert grid.GetClassName() in ("vtkImageData", "vtkRectilinearGrid")
    bounds = np.reshape(grid.GetBounds(), (3, 2))
    on_cells = grid.GetPointData().GetArray("v") is None
    for dim, (low, high) in zip("xyz", bounds, strict=True):
        half = (fused[dim].values[1] - fused[dim].values[0]) / 2 if on_cells else 0.0
        np.testing.assert_allclose([low + half, high - half], fused[dim].values[[0, -1]], atol=1e-9)
    data = grid.GetCellData() if on_cells else grid.GetPointData()
    values = vtk_to_numpy(data.GetArray("v"))
    np.testing.assert_array_equal(values.reshape(3, 4, 5), fused["v"].values)


def test_a_copied_file_is_the_same_project(project: Path, tmp_path: Path) -> None:
    assert fusion.load(shutil.copy(project, tmp_path / "copy.nc")).identical(tree())
