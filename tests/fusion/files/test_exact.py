"""Exact or refused, before a byte is written."""

from pathlib import Path
from typing import Any

import dask.array as da
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings

import fusion
from fusion import Axis
from fusion.files import netcdf
from tests.makers.anything import labelled_data
from tests.makers.datasets import assert_same, assert_seen, small


@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate])
@given(labelled_data())
def test_anything_comes_back_the_same_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "any.nc"
    try:
        fusion.save(data, path)
    except (fusion.ConventionError, fusion.StoreError):
        assert list(path.parent.iterdir()) == []
        return
    assert_same(fusion.load(path), data)
    for engine in ("h5netcdf", "netcdf4"):
        assert_seen(path, data, engine)


NAN = np.array([0x7FF8000000000123, 0xFFF0000000000001, 0x8000000000000000] * 2, np.uint64).view(float).reshape(2, 3)
VALUES = {
    "half floats": np.array([[1.5, -0.0, 6e-8], [np.inf, np.nan, 65504]], np.float16),
    "truth": np.eye(2, 3, dtype=bool),
    "payloads of NaN and the sign of zero": NAN,
    "big-endian": np.arange(6, dtype=">i4").reshape(2, 3),
    "big-endian floats": NAN.astype(">f8"),
    "complex": np.array([[1 + 2j, complex(np.nan, -0.0), 0], [complex(0, np.inf), 3, 4]], np.complex64),
    "big-endian complex": np.array([[1 + 2j, complex(np.nan, -0.0), 0], [complex(0, np.inf), 3, 4]], ">c16"),
    "unsigned": np.full((2, 3), 2**64 - 1, np.uint64),
    "bytes": np.array([[b"a", b"abc", b""], [b"\xff", b"x\0y", b"12345"]]),
    "text": np.array([["", "ü", "☃"], ["a b", " edge ", "x" * 40]]),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_every_type(tmp_path: Path, kind: str) -> None:
    ds = small(VALUES[kind])
    path = fusion.save(ds, tmp_path / "v.nc")
    assert_same(fusion.load(path), ds)
    if VALUES[kind].dtype.kind in "SU":
        return
    lazy = fusion.load(fusion.save(ds.chunk({"x": 2}), tmp_path / "lazy.nc"), chunks={})
    assert isinstance(lazy["image"].data, da.Array)
    assert_same(lazy.compute(), ds)


def test_half_floats_are_widened_with_a_note(tmp_path: Path) -> None:
    """NetCDF has no half floats: netCDF-C takes the process down on one."""
    with netCDF4.Dataset(fusion.save(small(VALUES["half floats"]), tmp_path / "half.nc")) as file:
        assert (file["image"].dtype, file["image"].widened_from) == (np.float32, "float16")
        np.testing.assert_array_equal(np.ma.filled(file["image"][:], np.nan), VALUES["half floats"].astype("f4"))


def test_lazy_variables_of_one_name_in_two_groups_are_two(tmp_path: Path) -> None:
    """xarray.open_groups gives both one dask name, so that computing them together gave the values of one twice."""
    nodes = {f"/{name}": small(np.full((2, 3), value)) for name, value in {"a": 1.0, "b": 2.0, "b/c": 3.0}.items()}
    tree = xr.DataTree.from_dict(nodes)
    lazy = fusion.load(fusion.save(tree, tmp_path / "t.nc"), chunks={})
    assert_same(lazy.compute(), tree)
    assert float((lazy["b/image"] - lazy["a/image"]).sum()) == 6.0
    foreign = netcdf.groups(tmp_path / "t.nc")
    assert float((foreign["b"]["image"] - foreign["a"]["image"]).sum()) == 6.0


ATTRIBUTES = {
    "no texts": np.array([], "<U3"), "no numbers": np.array([], ">i2"),
    "a tuple with a negative NaN": (0, -float("nan")),
    "int": 3, "numpy int": np.int64(3), "one in a list": [7], "one text in a list": ["a"], "a tuple": (1, 2.5),
    "empty": "", "empty list": [], "big": 2**63, "negative zero": -0.0, "half": np.float16(0.5),
    "array": np.arange(3, dtype=">u2"),
    "texts": np.array(["a", "ü"]), "scalar array": np.array(5.0), "numpy text": np.str_("x"), "long": "x" * 100_000,
    "numbers of numpy": [np.float32(1.5), 2],
}  # fmt: skip


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_attributes_of_every_type(tmp_path: Path, kind: str) -> None:
    ds = small(note=ATTRIBUTES[kind], another=1)
    ds["x"].attrs["note"] = ATTRIBUTES[kind]
    assert_same(fusion.load(fusion.save(ds, tmp_path / "a.nc")), ds)


@pytest.mark.parametrize(("size", "dim"), [((0, 3), "y"), ((2, 0), "x"), ((0, 0), "y")])
def test_nothing_has_a_size_too(tmp_path: Path, size: tuple[int, int], dim: str) -> None:
    axes = {"y": Axis("um", values=np.arange(float(size[0]))), "x": Axis("um", values=np.arange(float(size[1])))}
    ds = fusion.dataset({"image": (("y", "x"), np.zeros(size))}, axes, name="none", cell_methods="mean")
    assert_same(fusion.load(fusion.save(ds, tmp_path / "none.nc")), ds)


def test_an_uneven_axis_keeps_every_position(tmp_path: Path) -> None:
    axes = {"y": Axis("um", values=[0.0, 1e-12]), "x": Axis("um", values=[-1e9, 0.1, 0.3])}
    ds = fusion.dataset({"image": (("y", "x"), np.eye(2, 3))}, axes, name="uneven", cell_methods="mean")
    assert_same(fusion.load(fusion.save(ds, tmp_path / "u.nc")), ds)


def with_coordinate(name: str) -> xr.Dataset:
    return small().assign_coords({name: 1.0})


REFUSED: dict[str, Any] = {
    "a descending axis": lambda: small().isel(x=slice(None, None, -1)),
    "a coordinate with a blank": lambda: with_coordinate("dwell time"),
    "a name with a slash": lambda: small().assign({"a/b": 1}),
    "a name with a line feed": lambda: small().assign({"a\nb": 1}),
    "a name that is a point": lambda: small().assign({".": 1}),
    "a name that is too long": lambda: small().assign({"n" * 256: 1}),
    "a name of surrogates": lambda: small().assign({"a\ud800": 1}),
    "a name in use": lambda: small().assign({"_nc4_non_coord_x": 1}),
    "a name that ends in a blank": lambda: small().assign({"a ": 1}),
    "text with NUL": lambda: small().assign({"t": ("component", ["a\0b", "c"])}),
    "text with surrogates": lambda: small().assign({"t": ("component", np.array(["\ud800"], object))}),
    "dates": lambda: small().assign_coords(t=np.datetime64("2020-01-01", "ns")),
    "objects": lambda: small().assign_coords(component=("component", np.array([1, "a"], object))),
    "extended precision": lambda: small(np.ones((2, 3), np.longdouble)),
    "an attribute with NUL": lambda: small(note="a\0b"),
    "an attribute of surrogates": lambda: small(note="\ud800"),
    "an attribute of HDF5": lambda: small(REFERENCE_LIST="x"),
    "an attribute of netCDF": lambda: small(_NCProperties="x"),
    "an attribute that is ours": lambda: small(conspectus_manifest="{}"),
    "an encoding": lambda: small(_Encoding="latin-1"),
    "a truth value": lambda: small(note=True),
    "nothing": lambda: small(note=None),
    "a mapping": lambda: small(note={"a": 1}),
    "bytes": lambda: small(note=b"a"),
    "complex": lambda: small(note=1j),
    "a number too large": lambda: small(note=2**64),
    "extended precision in an attribute": lambda: small(note=np.longdouble(1)),
    "masked numbers": lambda: small(note=np.ma.array([1.0, 2.0], mask=[0, 1])),
    "a name of an attribute with a slash": lambda: small(**{"a/b": 1}),
    "a node that is a point": lambda: xr.DataTree.from_dict({"/.x": small()}),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_file_cannot_give_back_is_refused_by_name_before_anything_is_written(tmp_path: Path, kind: str) -> None:
    path = fusion.save(small(), tmp_path / "p.nc")
    before = path.read_bytes()
    with pytest.raises(fusion.ConspectusError):
        fusion.save(REFUSED[kind](), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
