"""A spectrum in each voxel of a large volume, kept as abundances and endmembers: fuse, save and ask, under a limit.

    python benchmarks/fusion/low_rank.py [--size 512] [--memory 2.0]

A map of four components with errors and 2048 channels is fused, through a pose with covariance, with a volume of size³
voxels that comes in blocks; the result is saved. A process of its own then opens the file and reads spectra of voxels,
the window of an energy over one plane along each axis, and the mean spectrum of a region. The kernel refuses either
process more data than the limit (RLIMIT_DATA: heap and private maps, in GiB).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

import fusion
from fusion import Affine, Axis

CHANNELS, COMPONENTS = 2048, 4


def decomposed(size: int) -> xr.Dataset:
    """Return a map that covers a volume of some voxels of 10 nm."""
    rng = np.random.default_rng(3)
    y, x = np.meshgrid(np.linspace(0, 9, size // 4), np.linspace(0, 9, size // 4), indexing="ij")
    waves = np.stack([1.2 + np.sin((k + 1) * y) * np.cos(x + k) for k in range(COMPONENTS)], axis=-1)
    counts = rng.poisson(200.0 * waves).astype(np.float32)
    variables = {
        "abundance": (("y", "x", "component"), counts, {"units": "count"}),
        "abundance_stderr": (("y", "x", "component"), np.sqrt(counts + 1), {"units": "count"}),
        "endmember": (("component", "energy"), rng.dirichlet(np.ones(CHANNELS), COMPONENTS).astype(np.float32)),
    }
    pixel = Axis("um", 0.04)
    axes = {"y": pixel, "x": pixel, "component": list(range(COMPONENTS)), "energy": Axis("keV", 0.01)}
    return fusion.dataset(variables, axes, name="map", cell_methods="mean", frame="s")  # type: ignore[arg-type]


def volume(size: int) -> xr.Dataset:
    """Return a grey volume in blocks; none is made before it is asked for."""
    grey = da.random.default_rng(1).integers(0, 255, (size,) * 3, np.uint8, chunks=min(size, 64))
    axes = {dim: Axis("um", 0.01) for dim in "zyx"}
    return fusion.dataset({"grey": (("z", "y", "x"), grey)}, axes, name="volume", cell_methods="mean", frame="s")


def timed(label: str, action: Callable[[], object]) -> None:
    """Print how long an action takes the first time, and how much memory the process has held so far."""
    start = time.perf_counter()
    action()
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{label:44} {1e3 * seconds:12.1f} ms   peak {peak:5.2f} GiB", flush=True)


def write(size: int, path: Path) -> None:
    """Fuse and save."""
    covariance = np.zeros((12, 12))
    covariance[[7, 11], [7, 11]] = (0.3 * 0.04) ** 2  # a third of a pixel along y and x
    pose = Affine((Affine.rotation(3.0) @ Affine.rotation(1.0, axis=(0.0, 1.0, 0.3))).matrix, covariance=covariance)
    results: list[xr.Dataset] = []
    timed("fuse with covariance, lazy", lambda: results.append(
        fusion.fuse(decomposed(size), volume(size), transform=pose, depth=0.25 * 0.01 * size)))  # fmt: skip
    timed("save", lambda: fusion.save(results[0], path))
    print(f"file of {path.stat().st_size / 2**30:.2f} GiB for {results[0].nbytes / 2**30:.2f} GiB")


def read(size: int, path: Path) -> None:
    """Open and ask."""
    opened: list[xr.Dataset] = []
    timed("open", lambda: opened.append(fusion.load(path, chunks={})))
    fused = opened[0]
    rng = np.random.default_rng(0)
    for _ in range(3):
        z, y, x = rng.uniform([0.01, 0.3, 0.3], [0.1, 0.6, 0.6]) * 0.01 * size
        timed("spectrum of a voxel, with its error",
              lambda z=z, y=y, x=x: fusion.spectrum(fused, z=z, y=y, x=x).compute())  # fmt: skip
    for dim in "zyx":
        plane = fused.isel({dim: [size // 16]})
        timed(f"window over one plane, {dim}", lambda plane=plane: fusion.window(plane, energy=(3.0, 4.0)).compute())


def main() -> None:
    """Write in one process and read in another, both under the limit."""
    parser = argparse.ArgumentParser(description="Fused spectra at full size under a memory limit.")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--memory", type=float, default=2.0, help="GiB of data that a process may have")
    parser.add_argument("--file", type=Path, help="where the file is kept; a temporary one if left out")
    parser.add_argument("--part", choices=["write", "read"], help="only one part, in this process")
    options = parser.parse_args()
    if options.part:
        limit = int(options.memory * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        (write if options.part == "write" else read)(options.size, options.file)
        return
    print(f"{options.size}³ voxels, {COMPONENTS} components, {CHANNELS} channels, limit {options.memory} GiB")
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "fused.nc"
        for part in ("write", "read"):
            command = [sys.executable, __file__, "--part", part, "--size", str(options.size), "--file", str(path)]
            subprocess.run([*command, "--memory", str(options.memory)], check=True)


if __name__ == "__main__":
    main()
