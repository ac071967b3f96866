"""Labelled datasets and trees of any kind, for hypothesis: mostly legal, some with one feature that may not be."""

import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import reject
from hypothesis import strategies as st

DTYPES = [
    "i1", "u1", "<i2", ">u2", "<i4", "<u4", ">i8", "<u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "?", "<c8", ">c16",
    "S3", "U4", "O",
]  # fmt: skip
LETTERS = st.text(st.characters(categories=("L", "N")), min_size=2, max_size=5)
NAMES = st.one_of(
    st.sampled_from(["image", "counts", "Fe_Ka", "a b", "é", "2theta", "x-y", "_hidden", "string", "a.b", "日"]),
    LETTERS.map(lambda text: unicodedata.normalize("NFC", text)),
)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
ATTRIBUTES = st.dictionaries(
    st.one_of(st.sampled_from(["note", "comment", "bounds", "calendar", "source", "axis_order"]), NAMES),
    st.one_of(
        TEXT, INTEGERS, st.floats(), st.lists(TEXT, max_size=3), st.lists(INTEGERS, max_size=3),
        st.lists(st.floats(), max_size=3), st.tuples(st.floats(), st.integers(-9, 9)),
        st.builds(lambda content, dtype: np.frombuffer(content, dtype).copy(), st.binary(min_size=8, max_size=8),
                  st.sampled_from(["u1", "<i4", ">i2", "<f2", ">f4", ">f8"])),
        st.binary(min_size=8, max_size=8).flatmap(
            lambda content: st.sampled_from([np.frombuffer(content, kind)[0] for kind in ("<i8", "u1", ">f4", "<f2")])
        ),
        st.lists(TEXT, min_size=1, max_size=2).flatmap(
            lambda texts: st.sampled_from([np.array(texts), np.str_(texts[0]), tuple(texts)])
        ),
    ),
    max_size=3,
)  # fmt: skip
AXES = ["z", "y", "x"]


@st.composite
def values(draw: st.DrawFn, shape: list[int]) -> np.ndarray:
    """Return an array of any type and any bits, among them NaN of every kind; objects are text."""
    dtype, size = np.dtype(draw(st.sampled_from(DTYPES))), int(np.prod(shape, dtype=int))
    if dtype.kind in "OU":
        return np.array(draw(st.lists(TEXT, min_size=size, max_size=size)), dtype).reshape(shape)
    count = size * dtype.itemsize
    content = np.array(bytearray(draw(st.binary(min_size=count, max_size=count))), np.uint8)
    return (content % 2 if dtype.kind == "b" else content).view(dtype).reshape(shape)


@st.composite
def axes(draw: st.DrawFn, size: int) -> np.ndarray:
    """Return ascending positions, even or not."""
    start, step = draw(st.floats(-1e3, 1e3)), draw(st.floats(1e-3, 1e3))
    uneven = step * np.array(draw(st.lists(st.floats(0, 0.4), min_size=size, max_size=size)))
    return start + step * np.arange(size) + (uneven if draw(st.booleans()) else 0.0)


@st.composite
def legal(draw: st.DrawFn) -> xr.Dataset:
    """Return a dataset within the conventions, on axes of up to three positions, in memory or lazy."""
    dims = [dim for dim in AXES if draw(st.booleans())] + draw(
        st.sampled_from([[], ["energy"], ["component"], ["point"]])
    )
    sizes = {dim: draw(st.integers(0, 3)) for dim in dims}
    coords: dict[str, Any] = {}
    for dim, size in sizes.items():
        if dim in AXES or dim == "energy":
            coords[dim] = (dim, draw(axes(size)), {"units": "keV" if dim == "energy" else "um", "long_name": dim})
        elif dim == "component" or draw(st.booleans()):
            coords[dim] = (dim, draw(st.sampled_from([["Fe", "é", ""], [1, 2, 3], [0.5, 1.5, 9.0]]))[:size])
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    scalars = [name for name in names[:1] if " " not in name and draw(st.booleans())]
    coords |= {name: ((), draw(values([])), draw(ATTRIBUTES)) for name in scalars}
    variables = {}
    for name in names[len(scalars) :]:
        along = [dim for dim in dims if draw(st.booleans())]
        attrs = {"cell_methods": "x: mean", "units": "1", **draw(ATTRIBUTES)}
        kept = coords if " " not in name and draw(st.integers(0, 5)) == 0 else variables
        kept[name] = (along, draw(values([sizes[dim] for dim in along])), attrs)
    ds = xr.Dataset(variables, coords, draw(ATTRIBUTES))
    return ds.chunk(2) if draw(st.booleans()) else ds


def any_name(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    name = draw(st.text(min_size=1, max_size=4).filter(lambda name: "/" not in name))
    return ds if name in ds.dims else ds.assign({name: 1.0})


def any_attribute(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    odd = st.one_of(st.text(), st.none(), st.booleans(), st.binary(max_size=3), st.integers(), st.complex_numbers())
    return ds.assign_attrs({draw(st.text(max_size=4)): draw(odd)})


def any_text(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    text = draw(st.one_of(st.text(max_size=4), st.sampled_from(["\ud800", "a\0", "\0"])))
    return draw(st.sampled_from([ds.assign(words=((), np.array(text, dtype))) for dtype in ("U4", object)]
                                + [ds.assign_attrs(words=text)]))  # fmt: skip


def odd_values(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    odd = [np.datetime64("2020-01-01", "ns"), np.timedelta64(3, "s"), np.longdouble(1), None, {"a": 1}, b"a\0b", "a\0b"]
    return ds.assign(odd=((), np.array(draw(st.sampled_from(odd)))))


def odd_attribute(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    names = ["_FillValue", "dtype", "_Unsigned", "coordinates", "CLASS", "_NCProperties", "grid_mapping", "_Encoding",
             "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict",
             "conspectus_manifest", "widened_from", "units", "scale_factor"]  # fmt: skip
    return ds.assign(told=((), 1, {draw(st.sampled_from(names)): draw(st.sampled_from(["a", 1, "x y"]))}))


def odd_coordinate(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    name = draw(st.sampled_from(["dwell time", "string3", "a/b", ".", "y", "pose", "_nc4_non_coord_x"]))
    return ds if name in ds.dims else ds.assign_coords({name: 1})


def leftover_encoding(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    """Return a variable with what xarray keeps of the file that it was read from, which must not change it."""
    left = {"dtype": "i2", "scale_factor": 0.5, "_FillValue": 1, "zlib": True, "chunksizes": (7,), "units": "days"}
    ds = ds.assign(packed=("packed", [1.0, 2.5]))
    ds["packed"].encoding = {draw(st.sampled_from(list(left))): 0} if draw(st.booleans()) else left
    ds.encoding = {"unlimited_dims": {"packed"}}
    return ds


def stacked(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset with two levels along one dim, which a file cannot hold."""
    return ds.assign(pairs=(("first", "second"), np.eye(2))).stack(pair=("first", "second"), create_index=True)


def turned(draw: st.DrawFn, ds: xr.Dataset) -> xr.Dataset:
    return ds.isel({dim: slice(None, None, -1) for dim in ds.dims})


HOSTILE: list[Callable[[st.DrawFn, xr.Dataset], xr.Dataset]] = [
    any_name, any_attribute, any_text, odd_values, odd_attribute, odd_coordinate, turned,
    leftover_encoding, stacked,
]  # fmt: skip


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Return a dataset; one in four has one feature that a file may not be able to hold."""
    ds = draw(legal())
    return draw(st.sampled_from(HOSTILE))(draw, ds) if draw(st.integers(0, 3)) == 0 else ds


@st.composite
def trees(draw: st.DrawFn) -> xr.DataTree:
    """Return a tree of up to three nodes; one may inherit the coordinates of the node above it."""
    names = ["fused", "map", "sem/a", "sem/b", "é", "a b", "map/y", "map/point", "fused/inner"]
    paths = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    nodes = {"/": xr.Dataset(attrs=draw(ATTRIBUTES))} | {path: draw(legal()) for path in paths}
    kind = draw(st.sampled_from(["", "empty", "hostile", "inherits"]))
    if kind == "empty":
        nodes["empty"] = xr.Dataset(attrs=draw(ATTRIBUTES))
    elif kind == "hostile":
        nodes["hostile"] = draw(datasets())
    elif kind:
        nodes["volume"] = draw(legal())
        nodes["volume/part"] = nodes["volume"].drop_vars(list(nodes["volume"].coords))
    try:
        return xr.DataTree.from_dict(nodes, name=draw(st.sampled_from([None, "specimen", "é"])))
    except (KeyError, ValueError):  # xarray knows no node of the name of a variable, and aligns a node with its parent
        reject()


def labelled_data() -> st.SearchStrategy[xr.Dataset | xr.DataTree]:
    """Return datasets and, one in three, trees."""
    return st.one_of(datasets(), datasets(), trees())
