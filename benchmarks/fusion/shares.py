"""Counts on another grid: what shares keep and what interpolation loses, and how long both take.

    python benchmarks/fusion/shares.py [--poses 50] [--size 64] [--repeat 3]

Sums over random poses and scales from 0.1 to 10; a checkerboard on coarse voxels; the counts that `backproject` loses
within a block of uniform density; and times beside SimpleITK, which interpolates linearly, and scipy.sparse, which
applies a matrix that was stored. The contenders take turns; the times are medians.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array, kron
from scipy.spatial.transform import Rotation

import fusion
from fusion.grids import shares
from fusion.grids.geometry import geometry

Array = NDArray[Any]


def box(dims: str, shape: tuple[int, ...], step: float, kind: str, seed: int = 0) -> xr.Dataset:
    """Return counts or means on a grid about the origin."""
    axes = {dim: fusion.Axis("um", step, -step * (n - 1) / 2) for dim, n in zip(dims, shape, strict=True)}
    values = np.random.default_rng(seed).poisson(20.0, shape).astype(float)
    return fusion.dataset({"v": (tuple(dims), values)}, axes, name="v", cell_methods=kind, frame="s")


def pose(rng: np.random.Generator, dims: str, scale: float) -> fusion.Affine:
    """Return a turn about any axis (images: in their plane) and a scale."""
    matrix = np.eye(4)
    turn = rng.uniform(-2, 2, 3) * ([1, 1, 1] if len(dims) == 3 else [1, 0, 0])
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix() * scale
    if len(dims) == 2:
        matrix[0] = 1.0, 0.0, 0.0, 0.0
    return fusion.Affine(matrix)


def sums(poses: int) -> None:
    """Print the worst error of a sum, of shares and of linear interpolation times the ratio of the cells."""
    print(f"\nlargest relative error of the sum over {poses} poses, scales 0.1 to 10")
    rng = np.random.default_rng(1)
    for dims, shape in (("yx", (9, 8)), ("zyx", (5, 4, 6))):
        worst = {"shares": 0.0, "linear": 0.0}
        for seed in range(poses):
            scale = 10 ** rng.uniform(-1, 1)
            ds, ratio = box(dims, shape, 1.0, "sum", seed), 10 ** rng.uniform(-0.4, 0.2)
            n = int(2 * np.linalg.norm(shape) / ratio / 2) + 3
            grid = box(dims, (n,) * len(dims), scale * ratio, "mean")
            transform, total = pose(rng, dims, scale), float(ds["v"].sum())
            placed = fusion.resample(ds, grid, transform=transform)
            density = ds.assign(v=ds["v"].assign_attrs(cell_methods=f"{dims[-1]}: mean"))
            read = fusion.resample(density, grid, transform=transform, method="linear")
            worst["shares"] = max(worst["shares"], abs(float(placed["v"].sum()) / total - 1))
            worst["linear"] = max(worst["linear"], abs(float(read["v"].sum()) * ratio ** len(dims) / total - 1))
        print(f"{len(dims)}-D      shares {worst['shares']:.1e}      linear x volume {worst['linear']:.1e}")


def checkerboard() -> None:
    """Print what a checkerboard of 0 and 100 with errors of 10 becomes on voxels ten pixels wide."""
    print("\ncheckerboard of 0 and 100, error 10, on voxels ten pixels wide: lowest, highest, mean error")
    board = 100.0 * (np.indices((60, 60)).sum(axis=0) % 2)
    variables = {"v": (("y", "x"), board), "v_stderr": (("y", "x"), np.full((60, 60), 10.0))}
    ds = fusion.dataset(variables, {d: fusion.Axis("um", 1.0) for d in "yx"}, name="b", cell_methods="mean", frame="s")
    axes = {dim: fusion.Axis("um", 10.0, 20.0) for dim in "yx"}
    grid = fusion.dataset({"g": (("y", "x"), np.ones((3, 3)))}, axes, name="g", cell_methods="mean", frame="s")
    for method in ("mean", "linear"):
        moved = fusion.resample(ds, grid, method=method)  # type: ignore[arg-type]
        values, error = moved["v"].values, float(moved["v_stderr"].mean())
        print(f"{method:8} {values.min():8.2f} {values.max():8.2f} {error:8.2f}")


def lost() -> None:
    """Print the counts that are lost within a plate of uniform density, at several poses and voxel sizes."""
    print("\ncounts lost within a plate of uniform density, three pixels thick, % (shares, linear, nearest)")
    for angle in (0.0, 10.0, 30.0, 45.0):
        for voxel in (0.5, 1.0, 1.5):
            n = int(36 / voxel)
            shape = (int(3 / voxel), n, n)
            volume = box("zyx", shape, voxel, "mean").assign(v=(("z", "y", "x"), np.ones(shape)))
            ds = box("yx", (12, 12), 1.0, "sum")
            turn = fusion.Affine.rotation(angle, axis=(1.0, 0.3, 0.5))
            row = []
            for method in ("shares", "linear", "nearest"):
                placed = fusion.backproject(ds, volume, density="v", transform=turn, method=method)  # type: ignore[arg-type]
                row.append(f"{100 * placed['v'].attrs['lost_fraction']:6.1f}")
            print(f"{angle:5.0f} degrees, voxel {voxel} pixels: {' '.join(row)}")


def race(contenders: dict[str, Callable[[], object]], repeat: int) -> None:
    """Run all in turns and print the medians."""
    for contender in contenders.values():
        contender()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - start)
    for name, turns in seconds.items():
        print(f"{name:44} {np.median(turns) * 1e3:9.1f} ms")


def itk(ds: xr.Dataset, grid: xr.Dataset, transform: fusion.Affine) -> Callable[[], object]:
    """Resample linearly with SimpleITK on grids about the origin; no counts are kept."""
    image, reference = (SimpleITK.GetImageFromArray(one["v"].values.astype(np.float32)) for one in (ds, grid))
    for target, one in ((image, ds), (reference, grid)):
        target.SetSpacing([float(one[dim][1] - one[dim][0]) for dim in reversed(one["v"].dims)])
        target.SetOrigin([float(one[dim][0]) for dim in reversed(one["v"].dims)])
    back = transform.inverse().matrix[:3, :3][::-1, ::-1]
    d = ds["v"].ndim
    itk_transform = SimpleITK.AffineTransform(d)
    itk_transform.SetMatrix(np.ascontiguousarray(back[:d, :d]).ravel().tolist())
    return lambda: SimpleITK.Resample(image, reference, itk_transform, SimpleITK.sitkLinear)


def speed(size: int, repeat: int) -> None:
    """Print times of 2-D, aligned and turned 3-D counts beside linear interpolation and a stored sparse matrix."""
    rng = np.random.default_rng(3)
    plane, coarse = box("yx", (4 * size, 4 * size), 1.0, "sum"), box("yx", (3 * size, 3 * size), 1.4, "mean")
    turn = pose(rng, "yx", 1.0)
    print(f"\n{4 * size}² pixels turned onto {3 * size}²")
    race({"shares": lambda: fusion.resample(plane, coarse, transform=turn),
          "SimpleITK, linear": itk(plane, coarse, turn)}, repeat)  # fmt: skip

    ds, grid = box("zyx", (size,) * 3, 1.0, "sum"), box("zyx", (size,) * 3, 1.1, "mean")
    aligned = fusion.Affine.identity()
    groups = shares.overlaps(geometry(ds, grid, aligned, None)).groups
    ordered = sorted(groups, key=lambda group: group.source)
    stored = csr_array(kron(kron(ordered[0].rows, ordered[1].rows), ordered[2].rows))
    flat = ds["v"].values.reshape(-1, 1)
    print(f"\n{size}³ pixels onto {size}³ aligned voxels, 1.1 times as large")
    race({"shares, built and applied": lambda: fusion.resample(ds, grid),
          "shares, built": lambda: shares.overlaps(geometry(ds, grid, aligned, None)),
          "scipy.sparse, stored matrix applied": lambda: stored @ flat,
          "SimpleITK, linear": itk(ds, grid, aligned)}, repeat)  # fmt: skip

    turned = pose(rng, "zyx", 1.0)
    cells, channels = geometry(ds, grid, turned, None), 8
    eight = np.repeat(ds["v"].values[..., None], channels, axis=-1)
    many = ds.assign(v=((*"zyx", "channel"), eight, ds["v"].attrs)).assign_coords(channel=np.arange(channels))
    stored = shares.exact(cells)
    print(f"\n{size}³ pixels onto {size}³ voxels in a general pose")
    race({"table, labelled, 1 channel": lambda: fusion.resample(ds, grid, transform=turned),
          "table, labelled, 8 channels": lambda: fusion.resample(many, grid, transform=turned),
          "exact sparse rows, 8 channels, built, applied": lambda: shares.exact(cells).placed(eight),
          "exact sparse rows, 8 channels, stored, applied": lambda: stored.placed(eight),
          "SimpleITK, linear, 1 channel": itk(ds, grid, turned)}, repeat)  # fmt: skip


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description="Sums, lost counts and times of shares.")
    parser.add_argument("--poses", type=int, default=50)
    parser.add_argument("--size", type=int, default=64, help="edge of the volumes that are timed")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    sums(options.poses)
    checkerboard()
    lost()
    speed(options.size, options.repeat)


if __name__ == "__main__":
    main()
