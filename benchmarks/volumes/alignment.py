"""How exactly volumes.align_tilts finds random shifts and a turned tilt axis, and how often its intervals hold them.

python benchmarks/volumes/alignment.py [--runs 20] [--size 64] [--noise 0.02 0.1] [--needle] [--small]

Rods of random grains in a field of 64 pixels are shifted by up to an eighth of the field each way, with a tilt axis 3
degrees off, in 39 views.
--needle shifts the views of a measured series, which its authors aligned, and asks for these shifts.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import affine_transform, gaussian_filter

import conspectus
import fusion
import volumes
from fusion.specimens.measured import locate
from volumes.tomography.common_line import without_gauge
from volumes.tomography.moving import turning
from volumes.tomography.projector import Projector

Array = npt.NDArray[Any]
ROTATION, STEP = 3.0, 0.01


def grains(size: int, rng: np.random.Generator) -> Array:
    """Return a rod of grains along the tilt axis that ends within the field at one side."""
    z, u, s = np.meshgrid(*(np.arange(size) - (size - 1) / 2,) * 3, indexing="ij")
    rod = gaussian_filter(((np.hypot(z + 1, u) < size / 5) & (s < size * 0.3)).astype(float), 0.8)
    lumps = gaussian_filter(rng.normal(size=rod.shape), 1.5)
    return np.asarray(rod * (0.5 + np.clip(lumps / lumps.std(), 0, 2)), np.float32)


def displaced(views: Array, shifts: Array, rotation: float) -> Array:
    """Return views (view, across, along) as a microscope with these shifts and this tilt axis would take them."""
    back, middle = turning(rotation).T, (np.array(views.shape[1:]) - 1) / 2
    moved = [affine_transform(v, back, middle - back @ middle - s, order=3) for v, s in zip(views, shifts, strict=True)]
    return np.stack(moved)


def labelled(views: Array, angles: Array) -> xr.Dataset:
    um, tilt = fusion.Axis("um", STEP), fusion.Axis("degree", values=angles)
    axes = {"y": um, "x": um, "tilt": tilt}
    return fusion.dataset({"haadf": (("tilt", "y", "x"), views)}, axes, name="rod", cell_methods="mean")


def run(views: Array, angles: Array, rng: np.random.Generator, noise: float) -> tuple[Array, Array, float, float]:
    """Return errors and claimed errors of the shifts in pixels, and of the direction in degrees."""
    shifts = rng.uniform(-1.0, 1.0, size=(angles.size, 2)) * views.shape[1] / 8
    values = displaced(views, shifts, ROTATION)
    values = values + noise * values.max() * rng.normal(size=values.shape)
    found = volumes.align_tilts(labelled(values.astype(np.float32), angles))
    wrong = without_gauge(found["shift"].values.T / STEP - shifts, angles)
    claimed = found["shift_stderr"].values.T / STEP
    return wrong, claimed, float(found["rotation"]) - ROTATION, float(found["rotation_stderr"])


def report(name: str, results: list[tuple[Array, Array, float, float]]) -> None:
    wrong, claimed = np.stack([r[0] for r in results]), np.stack([r[1] for r in results])
    rms = np.sqrt((wrong**2).mean((0, 1)))
    held = (np.abs(wrong) < 1.96 * claimed).mean((0, 1))
    turns = np.array([[r[2], r[3]] for r in results])
    turned = np.mean(np.abs(turns[:, 0]) < 1.96 * turns[:, 1])
    numbers = f"{rms[0]:.3f} | {rms[1]:.3f} | {held[0]:.0%} | {held[1]:.0%}"
    print(f"| {name} | {numbers} | {np.sqrt((turns[:, 0] ** 2).mean()):.3f} | {turned:.0%} |", flush=True)


def needle() -> tuple[Array, Array]:
    series = conspectus.open(locate("electron_tomography/HAADF_Aligned.hspy"))["HAADF_Aligned"]
    array = series["image"].transpose("tilt", "y", "x").values
    return array.reshape(len(array), 128, 2, 128, 2).mean((2, 4)), series["tilt"].values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.02, 0.1])
    parser.add_argument("--needle", action="store_true")
    parser.add_argument("--small", action="store_true", help="one run of half the size")
    given = parser.parse_args()
    runs, size, noises = (1, 32, [0.02]) if given.small else (given.runs, given.size, given.noise)
    print(
        "rms of what is wrong in pixels, across and along the axis; how often 95 % intervals hold it; the direction\n"
    )
    print("| series | across | along | held | held | direction, degrees | held |\n|---|---:|---:|---:|---:|---:|---:|")
    angles = np.arange(-76.0, 77.0, 4.0)
    for noise in noises:
        seeds = [np.random.default_rng(k) for k in range(runs)]
        report(
            f"grains, noise {noise:g}",
            [run(Projector(angles, size).forward(grains(size, rng)), angles, rng, noise) for rng in seeds],
        )
    if given.needle:
        views, measured = needle()
        report("needle", [run(views, measured, np.random.default_rng(k), 0.0) for k in range(min(runs, 3))])


if __name__ == "__main__":
    main()
