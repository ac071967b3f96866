"""A volume larger than memory: resampled under a limit, on a cluster, and after a kill; equal bits every time.

    python benchmarks/fusion/larger.py [--gigabytes 20] [--memory 1.0]

A volume of float32 is made block by block, turned by 5 degrees onto another grid, and reduced to one sha256: by threads
of a process whose data the kernel limits (RLIMIT_DATA, in GiB), and by two workers of a local cluster that have as much
memory each. A smaller one is saved, killed when half of its blocks are done, and saved again; the values are those of a
run that nobody stopped.
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

import fusion
from fusion.files import budget

BLOCK = 128
SIDE = 384
"""Voxels along y and x; z is as long as the size asks for."""


def make(block_info: Any = None) -> NDArray[np.float32]:
    """Make a block of the source from its place."""
    (z0, z1), (y0, y1), (x0, x1) = block_info[None]["array-location"]
    z, y, x = np.ogrid[z0:z1, y0:y1, x0:x1]
    return np.asarray(np.sin(z / 9.0) * np.cos(y / 7.0) + (x % 13) / 13, np.float32)


def volume(name: str, values: da.Array, step: float) -> xr.Dataset:
    """Return a lazy volume in um."""
    axes = {dim: fusion.Axis("um", step) for dim in "zyx"}
    return fusion.dataset({name: (("z", "y", "x"), values)}, axes, name=name, cell_methods="mean", frame="s")


def resampled(gigabytes: float, side: int = SIDE) -> xr.Dataset:
    """Return the turned volume, lazy."""
    planes = max(1, round(gigabytes * 1e9 / 4 / side**2 / BLOCK)) * BLOCK
    chunks = tuple((BLOCK,) * (n // BLOCK) for n in (planes, side, side))
    values = da.map_blocks(make, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    grid = volume("g", da.zeros((planes, side, side), chunks=BLOCK, dtype=np.uint8), 1.0)
    turn = fusion.Affine.rotation(5.0, axis=(1.0, 0.05, 0.02))
    return fusion.resample(volume("v", values, 1.0), grid, transform=turn)


def digest(block: NDArray[np.float32]) -> NDArray[Any]:
    """Return the sha256 of a block as one value."""
    return np.array(hashlib.sha256(np.ascontiguousarray(block).data).hexdigest(), "U64").reshape(1, 1, 1)


class Digests:
    """Takes blocks as a file does, and keeps the sha256 of each."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], str] = {}

    def __setitem__(self, region: Any, values: NDArray[np.float32]) -> None:
        self.known[tuple(part.start for part in region)] = str(digest(values).item())


def reduce_within(gigabytes: float, memory: float) -> str:
    """Compute all blocks as `fusion.save` does with a budget, and return one sha256."""
    digests = Digests()
    budget.store([resampled(gigabytes)["v"].data], [digests], memory)
    return hashlib.sha256("".join(digests.known[start] for start in sorted(digests.known)).encode()).hexdigest()


def reduce(gigabytes: float) -> str:
    """Compute all blocks and return one sha256."""
    values = resampled(gigabytes)["v"].data
    digests = values.map_blocks(digest, chunks=((1,) * values.numblocks[0], (1,) * values.numblocks[1],
                                (1,) * values.numblocks[2]), dtype="U64", meta=np.empty((0, 0, 0), "U64"))  # fmt: skip
    return hashlib.sha256("".join(digests.compute().ravel()).encode()).hexdigest()


def threads(gigabytes: float, memory: float) -> None:
    """Reduce on the threads of this process, under the limit."""
    limit = int(memory * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start = time.perf_counter()
    # the interpreter, its libraries and compiled code take some 0.3 GiB
    result = reduce_within(gigabytes, 0.5 * limit)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{result}  threads, {time.perf_counter() - start:.0f} s, peak {peak:.2f} GiB", flush=True)


def cluster(gigabytes: float, memory: float) -> None:
    """Reduce on two workers."""
    from distributed import Client, LocalCluster

    limit = f"{memory} GiB"
    with (
        LocalCluster(2, threads_per_worker=1, memory_limit=limit, host="127.0.0.1", dashboard_address=None) as local,
        Client(local) as client,
    ):
        start = time.perf_counter()
        result = reduce(gigabytes)
        peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    peak = ", ".join(f"{value:.2f}" for value in peaks.values())
    print(f"{result}  two workers, {time.perf_counter() - start:.0f} s, peaks {peak} GiB", flush=True)


def save(gigabytes: float, path: Path) -> None:
    """Save, keeping blocks beside the file; one at a time, so that a kill has something to stop."""
    with dask.config.set(scheduler="synchronous"):
        fusion.save(resampled(gigabytes, side=128), path, blocks=path.with_suffix(".blocks"))


def resume(gigabytes: float) -> None:
    """Kill a save half-way, save again, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        path, blocks = Path(folder) / "stopped.nc", Path(folder) / "stopped.blocks"
        total = resampled(gigabytes, side=128)["v"].data.npartitions
        child = subprocess.Popen([sys.executable, __file__, "--part", "save", "--gigabytes", str(gigabytes),
                                  "--file", str(path)])  # fmt: skip
        while child.poll() is None and len(list(blocks.glob("*.block"))) < total // 2:
            time.sleep(0.02)
        child.kill()
        child.wait()
        done = len(list(blocks.glob("*.block")))
        assert not path.exists()
        save(gigabytes, path)
        save(gigabytes, Path(folder) / "whole.nc")
        values = [fusion.load(Path(folder) / name)["v"].values.tobytes() for name in ("stopped.nc", "whole.nc")]
        print(f"killed after {done} of {total} blocks, saved again: equal bits {values[0] == values[1]}")


def main() -> None:
    """Run each part in a process of its own."""
    parser = argparse.ArgumentParser(description="Resampling beyond memory: limits, clusters, kills.")
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--memory", type=float, default=1.0, help="GiB of the process, and of each worker")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=["threads", "cluster", "resume", "save"])
    options = parser.parse_args()
    if options.part == "save":
        save(options.gigabytes, options.file)
    elif options.part == "resume":
        resume(min(options.gigabytes, 0.2))
    elif options.part:
        (threads if options.part == "threads" else cluster)(options.gigabytes, options.memory)
    else:
        print(f"{options.gigabytes} GB, {options.memory} GiB of memory")
        for part in ("threads", "cluster", "resume"):
            command = [sys.executable, __file__, "--part", part, "--gigabytes", str(options.gigabytes)]
            subprocess.run([*command, "--memory", str(options.memory)], check=True)


if __name__ == "__main__":
    main()
