"""A save that was stopped goes on from the blocks that are on disk, on threads and on a cluster."""

from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Axis

MADE: list[tuple[int, ...]] = []
STOP: list[int] = []


def make(block_info: Any = None) -> np.ndarray:
    """Make a block from its place, until STOP says that as many have been made as may be."""
    if STOP and len(MADE) >= STOP[0]:
        raise RuntimeError("stopped")
    begin = tuple(start for start, _ in block_info[None]["array-location"])
    MADE.append(begin)
    shape = [stop - start for start, stop in block_info[None]["array-location"]]
    return np.random.default_rng(begin).normal(size=shape)


def lazy() -> xr.Dataset:
    values = da.map_blocks(make, chunks=((4, 4, 1), (5, 3), (6,)), dtype=float, meta=np.empty((0, 0, 0)))
    um = {dim: Axis("um", 0.1) for dim in "zyx"}
    return fusion.dataset({"v": (tuple("zyx"), values)}, um, name="v", cell_methods="mean")


@pytest.fixture(autouse=True)
def _counted() -> None:
    MADE.clear()
    STOP.clear()


def test_a_save_that_was_stopped_makes_only_the_blocks_that_are_missing(tmp_path: Path) -> None:
    expected = lazy()["v"].values
    MADE.clear()
    STOP.append(3)
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(RuntimeError, match="stopped"):
            fusion.save(lazy(), tmp_path / "v.nc", blocks=tmp_path / "blocks")
        assert not (tmp_path / "v.nc").exists()
        STOP.clear()
        done = MADE[:]
        fusion.save(lazy(), tmp_path / "v.nc", blocks=tmp_path / "blocks")
    assert len(done) == 3
    assert len(MADE) == 6
    assert len(set(MADE)) == 6
    assert not (tmp_path / "blocks").exists()
    np.testing.assert_array_equal(fusion.load(tmp_path / "v.nc")["v"].values, expected)


def test_a_damaged_block_is_made_again_and_other_data_use_none_of_them(tmp_path: Path) -> None:
    expected = lazy()["v"].values
    STOP.append(len(MADE) + 4)
    with dask.config.set(scheduler="synchronous"):
        with pytest.raises(RuntimeError, match="stopped"):
            fusion.save(lazy(), tmp_path / "v.nc", blocks=tmp_path / "blocks")
        STOP.clear()
        MADE.clear()
        damaged = min((tmp_path / "blocks").glob("*.block"))
        content = bytearray(damaged.read_bytes())
        content[-40] ^= 1
        damaged.write_bytes(content)
        other = lazy().assign(v=lazy()["v"] + 1.0)
        fusion.save(other.assign(v=other["v"].assign_attrs(lazy()["v"].attrs)), tmp_path / "w.nc")
        assert len(MADE) == 6
        MADE.clear()
        fusion.save(lazy(), tmp_path / "v.nc", blocks=tmp_path / "blocks")
    assert len(MADE) == 3
    np.testing.assert_array_equal(fusion.load(tmp_path / "v.nc")["v"].values, expected)


def test_workers_of_a_cluster_save_the_same_values(tmp_path: Path) -> None:
    import distributed

    ds = lazy()
    expected = ds["v"].values
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None):
        fusion.save(ds, tmp_path / "v.nc")
        fusion.export(ds, tmp_path / "flat.nc")
    np.testing.assert_array_equal(fusion.load(tmp_path / "v.nc")["v"].values, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.nc", "v.nc"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_save_tells_how_far_it_is(tmp_path: Path, kept: bool) -> None:
    shares: list[float] = []
    folder = tmp_path / "blocks" if kept else None
    fusion.save(lazy(), tmp_path / "v.nc", blocks=folder, progress=shares.append)
    assert len(shares) >= 6
    assert shares == sorted(shares)
    assert 0.0 < shares[0] < shares[-1] == 1.0
