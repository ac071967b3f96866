"""Resample a volume through a warp: `fusion.resample` and its kernel against SimpleITK's displacement field.

    python benchmarks/fusion/warp_resampling.py [--size 160] [--channels 4] [--repeat 3]

All run in turns on the threads that they take by themselves. SimpleITK has a displacement for each voxel and resamples
one channel a call; its displacements are computed from the same warp before the clock runs. Ours computes a mesh of
the inverse warp (timed apart), and the whole call has checks, labels, coverage and a fresh output besides. The results
are compared where both are defined.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK
import xarray as xr
from numpy.typing import NDArray

import fusion
from fusion.grids.geometry import geometry
from fusion.resampling.warped import warped

Array = NDArray[Any]


def volume(size: int, channels: int) -> xr.Dataset:
    """Return a smooth volume of many channels."""
    rng = np.random.default_rng(0)
    at = np.arange(size) * 1.0
    waves = rng.uniform(0.02, 0.1, (channels, 3))
    values = np.stack(
        [np.sin(w[0] * at)[:, None, None] + np.sin(w[1] * at)[:, None] * np.cos(w[2] * at) for w in waves], axis=-1
    ).astype(np.float32)
    axes = {dim: fusion.Axis("um", 1.0) for dim in "zyx"}
    return fusion.dataset({"v": (("z", "y", "x", "channel"), values)}, {**axes, "channel": np.arange(channels)},
                          name="volume", cell_methods="mean")  # fmt: skip


def bend(size: int) -> fusion.Warp:
    """Return a warp through 40 landmarks that bends by some 3 % of the size."""
    points = np.random.default_rng(1).uniform(-0.05 * size, 1.05 * size, (40, 3))
    landed = points + 0.03 * size * np.sin(points[:, [1, 2, 0]] * 4.0 / size)
    return fusion.register_landmarks(points, landed, model="warp", sigma=0.002 * size, outliers="keep").transform


def displaced(back: fusion.Warp, size: int) -> SimpleITK.Transform:
    """Return the displacement of each voxel as SimpleITK takes it: x, y, z, from fixed to moving."""
    at = np.arange(size) * 1.0
    field = np.empty((size, size, size, 3))
    for plane in range(size):
        nodes = np.stack(np.meshgrid(at[plane : plane + 1], at, at, indexing="ij"), axis=-1)
        field[plane] = (back(nodes) - nodes)[0, ..., ::-1]
    return SimpleITK.DisplacementFieldTransform(SimpleITK.GetImageFromArray(field, isVector=True))


def best(run: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Print the times and the largest difference."""
    parser = argparse.ArgumentParser(description="Resample a volume through a warp.")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    size, channels = options.size, options.channels
    ds, warp = volume(size, channels), bend(size)
    grid = ds.isel(channel=[0])
    source = np.ascontiguousarray(ds["v"].values)
    images = [SimpleITK.GetImageFromArray(np.ascontiguousarray(source[..., c])) for c in range(channels)]
    theirs = displaced(warp.inverse(), size)
    placed = geometry(ds, grid, warp, None)
    reader = warped(ds, placed, "linear")

    def simpleitk() -> list[Any]:
        return [SimpleITK.Resample(one, one, theirs, SimpleITK.sitkLinear, float("nan")) for one in images]

    runs: dict[str, Callable[[], Any]] = {
        "SimpleITK, displacement field": simpleitk,
        "the kernel": lambda: reader.read_all(source),
        "the mesh of the inverse": lambda: geometry(ds, grid, warp, None),
        "fusion.resample": lambda: fusion.resample(ds, grid, transform=warp, method="linear"),
    }
    for run in runs.values():
        run()
    times = {name: min(best(run) for _ in range(options.repeat)) for name, run in runs.items()}
    values, _ = reader.read_all(source)
    other = np.stack([SimpleITK.GetArrayFromImage(one) for one in simpleitk()], axis=-1)
    both = np.isfinite(values) & np.isfinite(other)
    print(f"{size}³, {channels} channels, a mesh of {' × '.join(map(str, reader.mesh.values.shape[:3]))} nodes")
    for name, seconds in times.items():
        ratio = times["SimpleITK, displacement field"] / seconds
        print(f"{name:30} {seconds:8.3f} s {ratio:8.1f} × faster", flush=True)
    print(f"largest difference {np.abs(values - other)[both].max():.2g} of a range of {np.ptp(source):.2g}, "
          f"{both.mean():.0%} compared")  # fmt: skip


if __name__ == "__main__":
    main()
