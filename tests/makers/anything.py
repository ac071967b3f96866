"""Labelled datasets and trees of any kind, for hypothesis: names, types, sizes and attributes at the edges."""

from typing import Any

import numpy as np
import xarray as xr
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DTYPES = [
    "i1",
    "u1",
    "<i2",
    ">u2",
    "<i4",
    "<u4",
    ">i8",
    "<u8",
    "<f2",
    "<f4",
    ">f4",
    "<f8",
    "?",
    "<c8",
    ">c16",
    "S3",
    "U4",
]
NAMES = st.one_of(
    st.sampled_from(
        ["image", "counts", "a b", "é", "2theta", "x y", "dtype", "units", "Fe_Ka", "_hidden", "string8", "."]
    ),
    st.text(min_size=1, max_size=6),
).filter(lambda name: "/" not in name)
TEXT = st.text(max_size=8)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(), hnp.from_dtype(np.dtype("<i2")), hnp.from_dtype(np.dtype(">f4"))
)
ATTRIBUTES = st.dictionaries(
    st.one_of(st.sampled_from(["note", "comment", "bounds", "calendar", "source", "_Unsigned"]), st.text(max_size=5)),
    st.one_of(
        TEXT, NUMBERS, st.lists(TEXT, max_size=3), st.lists(NUMBERS, max_size=3), st.tuples(NUMBERS, NUMBERS),
        hnp.arrays(st.sampled_from(["<i4", ">f8", "<f2", "<U3"]), st.integers(0, 3)), st.booleans(), st.none(),
    ),
    max_size=4,
)  # fmt: skip


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Return a dataset on axes of any size up to three, mostly within the conventions."""
    dims = draw(st.lists(st.sampled_from(["z", "y", "x"]), unique=True).map(lambda found: sorted(found, reverse=True)))
    dims += draw(st.sampled_from([[], ["energy"], ["component"], ["point"]]))
    sizes = {dim: draw(st.integers(0, 3)) for dim in dims}
    coords: dict[str, Any] = {}
    for dim, size in sizes.items():
        if dim in ("component", "point"):
            if draw(st.booleans()):
                coords[dim] = (dim, draw(hnp.arrays(draw(st.sampled_from(["<U3", "<i8", "<f8"])), size)))
            continue
        start, step = draw(st.floats(-1e6, 1e6)), draw(st.floats(1e-3, 1e3))
        attrs = {"units": "keV"} if dim == "energy" else {"units": "um", "axis": dim.upper()}
        coords[dim] = (dim, start + step * np.arange(size), {**attrs, "long_name": dim})
    for name in draw(st.lists(NAMES, max_size=2, unique=True)):
        coords.setdefault(name, ((), draw(hnp.arrays(draw(st.sampled_from(DTYPES)), ()))))
    variables = {}
    for name in draw(st.lists(NAMES.filter(lambda name: name not in coords), max_size=3, unique=True)):
        along = [dim for dim in dims if draw(st.booleans())]
        values = draw(hnp.arrays(draw(st.sampled_from(DTYPES)), [sizes[dim] for dim in along]))
        attrs = {"cell_methods": "x: mean", "units": "1", **draw(ATTRIBUTES)}
        variables[name] = (along, values, attrs)
    ds = xr.Dataset(variables, coords, draw(ATTRIBUTES))
    return ds.chunk(2) if draw(st.booleans()) else ds


@st.composite
def trees(draw: st.DrawFn) -> xr.DataTree:
    """Return a tree of up to three nodes."""
    paths = draw(st.lists(st.sampled_from(["fused", "map", "sem/a", "sem/b", "empty", "é"]), unique=True, max_size=3))
    root = xr.Dataset(attrs=draw(ATTRIBUTES))
    return xr.DataTree.from_dict(
        {"/": root, **{path: draw(datasets()) for path in paths}}, name=draw(st.sampled_from([None, "specimen", "é"]))
    )


def labelled_data() -> st.SearchStrategy[xr.Dataset | xr.DataTree]:
    """Return datasets and trees."""
    return st.one_of(datasets(), trees())
