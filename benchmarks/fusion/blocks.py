"""Resample a lazy volume block by block: how long the graph takes, and how often the source is made.

    python benchmarks/fusion/blocks.py [--blocks 10]

A generated volume of 64 blocks is turned onto a grid of blocks³ blocks; its sum and that of the coverage are computed.
"""

import argparse
import resource
import time

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

import fusion


def volume(name: str, values: da.Array, step: float) -> xr.Dataset:
    """Return a lazy volume in um."""
    axes = {dim: fusion.Axis("um", step) for dim in "zyx"}
    return fusion.dataset({name: (("z", "y", "x"), values)}, axes, name=name, cell_methods="mean", frame="s")


def main() -> None:
    """Build, compute and count."""
    parser = argparse.ArgumentParser(description="Graph and reads of lazy resampling.")
    parser.add_argument("--blocks", type=int, default=10, help="blocks along each axis of the grid")
    options = parser.parse_args()
    made: list[int] = []

    def make(block_info: dict[None, dict[str, list[tuple[int, int]]]]) -> NDArray[np.float32]:
        made.append(1)
        shape = [stop - start for start, stop in block_info[None]["array-location"]]
        return np.random.default_rng(0).random(shape, np.float32)

    source = da.map_blocks(make, chunks=((64,) * 4,) * 3, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    ds = volume("v", source, 1.0)
    grid = volume("g", da.zeros((32 * options.blocks,) * 3, chunks=32, dtype=np.float32), 0.8)
    start = time.perf_counter()
    moved = fusion.resample(ds, grid, transform=fusion.Affine.rotation(5.0, axis=(1.0, 0.3, 0.2)))
    built = time.perf_counter() - start
    blocks, tasks = moved["v"].data.npartitions, len(moved["v"].__dask_graph__())
    print(f"{blocks} blocks: built in {built:.2f} s, {tasks / blocks:.1f} tasks a block")
    for name in ("coverage", "v"):
        made.clear()
        start = time.perf_counter()
        total = float(moved[name].sum().compute())
        seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{name:9} sum {total:.8g}: {len(made)} of {source.npartitions} source blocks made, "
              f"{seconds:.1f} s, peak of the process {peak:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
