"""Lazy equals eager for every chunking, and reads no more than it sees."""

from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest

import fusion
from fusion import Affine, Axis
from tests.makers.grids import axes, replaced, volume


def uneven() -> dict[str, Axis]:
    return {**axes("yx"), "z": Axis("um", values=[3.0, 3.1, 3.5, 3.6, 4.0, 4.2, 4.9])}


TILT = Affine.translation(0.2, 0.05, -0.1) @ Affine.rotation(4.0, axis=(1.0, 0.5, 0.1))


@pytest.mark.parametrize("source_chunks", [None, -1, {"y": 5, "x": 4, "component": 1}, {"z": 2}])
@pytest.mark.parametrize("grid_chunks", [None, {"z": 1}, {"z": 3, "y": 4, "x": 5}])
@pytest.mark.parametrize("kind", ["even", "uneven", "labels", "nearest", "errors"])
def test_lazy_equals_eager_for_every_chunking(source_chunks: Any, grid_chunks: Any, kind: str) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(7, 9, 8, 3))
    ds = volume((7, 9, 8), uneven() if kind == "uneven" else axes())
    ds = ds.assign_coords(component=["a", "b", "c"])
    ds = ds.assign(v=((*"zyx", "component"), values, {**ds["v"].attrs, "ancillary_variables": "v_stderr"}))
    ds = ds.assign(v_stderr=((*"zyx", "component"), np.abs(values), {**ds["v"].attrs}))
    if kind == "labels":
        flags = {"flag_values": [0, 1, 2], "flag_meanings": "a b c"}
        ds = ds.assign(v=((*"zyx", "component"), rng.integers(0, 3, values.shape), flags)).drop_vars("v_stderr")
    grid = volume((5, 6, 7))
    method: Any = "nearest" if kind == "nearest" else "linear"
    eager = fusion.resample(ds, grid, transform=TILT, method=method)
    lazy_ds = ds.chunk(source_chunks) if source_chunks else ds
    lazy_grid = grid.chunk(grid_chunks) if grid_chunks else grid
    lazy = fusion.resample(lazy_ds, lazy_grid, transform=TILT, method=method)
    expected = bool(source_chunks or grid_chunks)
    assert all(isinstance(lazy[name].data, da.Array) == expected for name in ("v", "coverage"))
    assert 0 < eager["coverage"].values.sum() < eager["coverage"].size
    for name in eager.data_vars:
        np.testing.assert_allclose(lazy[name].values, eager[name].values, rtol=1e-12, atol=1e-12)
        assert lazy[name].dtype == eager[name].dtype
        assert lazy[name].attrs.keys() == eager[name].attrs.keys()


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    touched: list[int] = []

    def note(block: np.ndarray) -> np.ndarray:
        touched.append(block.size)
        return block

    ds, grid = volume((6, 8, 7)), volume((5, 6, 7))
    lazy = da.from_array(ds["v"].values, chunks=(1, 8, 7)).map_blocks(note, dtype=float, meta=np.empty((0, 0, 0)))
    moved = fusion.resample(replaced(ds, lazy), grid.chunk({"z": 1}), method="linear")
    assert touched == []
    assert isinstance(moved["v"].data, da.Array)
    with dask.config.set(scheduler="synchronous"):
        moved["v"].isel(z=0).compute()
    assert 0 < len(touched) < 6, "one layer of the result reads only the layers of the source that it sees"


def test_coverage_reads_nothing_and_a_block_of_the_source_is_made_once() -> None:
    made: list[int] = []

    def make(block_info: Any = None) -> np.ndarray:
        made.append(1)
        return np.ones([stop - start for start, stop in block_info[None]["array-location"]])

    values = da.map_blocks(make, chunks=((4, 4), (4, 4), (4, 4)), dtype=float, meta=np.empty((0, 0, 0)))
    ds, grid = replaced(volume((8, 8, 8)), values), volume((9, 9, 9)).chunk({"z": 2, "y": 3, "x": 3})
    moved = fusion.resample(ds, grid, transform=TILT)
    assert float(moved["coverage"].sum()) > 0
    assert made == []
    moved["v"].compute(scheduler="synchronous")
    assert len(made) <= 8


def test_a_thousand_blocks_make_a_graph_of_a_few_thousand_tasks() -> None:
    ds = volume((16, 16, 16)).chunk(4)
    grid = volume((20, 20, 20), axes(steps={"z": 0.3, "y": 0.04, "x": 0.1})).chunk(2)
    moved = fusion.resample(ds, grid, transform=TILT)
    assert moved["v"].data.npartitions == 1000
    assert len(moved["v"].__dask_graph__()) < 2500
