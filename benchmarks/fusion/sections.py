"""Find planes of a measured volume: how often, how exactly, and how often the verdict is wrong.

    python benchmarks/fusion/sections.py [--cases 50] [--absent 50] [--noise 0.3 1.0] [--small] [--picture PATH]

Oblique planes of the needle (128³ voxels), cut by splines of fifth order, with another contrast (inverted, compressed
or folded) and noise of 0.3 and 1.0 of the standard deviation, from starts 10 degrees and 6 voxels off: the share with
all corners within 3 voxels, the share called sure, those sure and wrong, the share of corners that the 95 % region
holds, and the time. The cut shares the noise of the reconstruction, which another instrument would not. Planes that are
not within the range (starts 40 degrees and 20 voxels off): how many are called sure.
"""

import argparse
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

import fusion
import volumes
from fusion.specimens import measured

Array = NDArray[Any]
SIDE = 96
VOXEL = 0.00672
"""In um."""
CORNERS = VOXEL * np.array([[0.0, a * SIDE / 2, b * SIDE / 2] for a in (-1, 1) for b in (-1, 1)])


class Case(NamedTuple):
    """An image of a plane, where it lies, and where the search starts."""

    image: xr.Dataset
    truth: fusion.Affine
    start: fusion.Affine


def needle() -> xr.Dataset:
    """Return the volume, which has the same voxels in all directions."""
    ds = volumes.open(measured.locate("electron_tomography/needle_fbp_128.nc")).transpose("z", "y", "x")
    values = np.asarray(ds["haadf"].values, dtype=float)
    axes = {dim: fusion.Axis("um", VOXEL) for dim in "zyx"}
    return fusion.dataset({"haadf": (("z", "y", "x"), values)}, axes, name="needle", cell_methods="mean")


def case(volume: xr.Dataset, seed: int, noise: float, degrees: float, shift: float) -> Case:
    """Return an oblique plane near the middle, and a start so many degrees and voxels off in any direction."""
    rng = np.random.default_rng([8, seed])
    middle = VOXEL * (np.array(volume["haadf"].shape) / 2.0 - 0.5 + rng.uniform(-12.0, 12.0, 3))
    truth = fusion.Affine.translation(*middle) @ _turn(rng, rng.uniform(0.0, 180.0))
    off = fusion.Affine.translation(*_direction(rng) * shift * VOXEL)
    start = off @ fusion.Affine.translation(*middle) @ _turn(rng, degrees) @ fusion.Affine.translation(*-middle) @ truth
    line = VOXEL * (np.arange(SIDE) - (SIDE - 1) / 2.0)
    points = np.stack([np.zeros((SIDE, SIDE)), *np.meshgrid(line, line, indexing="ij")], axis=-1)
    lowest = float(volume["haadf"].min())
    cut = map_coordinates(volume["haadf"].values, truth(points).reshape(-1, 3).T / VOXEL, order=5, cval=lowest)
    values = _other_contrast(cut, seed % 3, rng)
    values = values / values.std() + noise * rng.normal(size=values.shape)
    axes = {dim: fusion.Axis("um", VOXEL, line[0]) for dim in "yx"}
    image = fusion.dataset({"image": (("y", "x"), values.reshape(SIDE, SIDE))}, axes, name="cut", cell_methods="mean")
    return Case(image, truth, start)


def _direction(rng: np.random.Generator) -> Array:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def _turn(rng: np.random.Generator, degrees: float) -> fusion.Affine:
    return fusion.Affine.rotation(degrees, axis=_direction(rng))


def _other_contrast(values: Array, kind: int, rng: np.random.Generator) -> Array:
    """Return ranks inverted, compressed, or folded: both dark and bright become bright."""
    rank = np.argsort(np.argsort(values)) / values.size
    if kind == 0:
        return np.asarray(-(rank ** rng.uniform(0.6, 1.6)))
    return np.sqrt(rank + 0.02) if kind == 1 else np.asarray(np.abs(rank - rng.uniform(0.3, 0.7)))


def measure(volume: xr.Dataset, noise: float, degrees: float, shift: float, count: int) -> None:
    """Print one line of the table."""
    rows = []
    for seed in range(count):
        image, truth, start = case(volume, seed, noise, degrees, shift)
        begun = time.process_time()
        result = fusion.find_section(image, volume, start=start, uncertain="keep")
        taken = time.process_time() - begun
        error = np.linalg.norm(result.transform(CORNERS) - truth(CORNERS), axis=1).max() / VOXEL
        held = result.holds(CORNERS, truth(CORNERS)).mean() if result.transform.covariance is not None else np.nan
        rows.append([error, result.verdict.sure, held, taken])
    error, sure, held, taken = np.array(rows, dtype=float).T
    wrong, believed = int(((error >= 3.0) & (sure > 0)).sum()), sure > 0
    cover = f"{np.nanmean(held[believed]):8.2f}" if believed.any() else "       –"
    print(f"{noise:5.1f} {degrees:5.0f}° {shift:4.0f} {count:6} {(error < 3.0).mean():9.2f} {np.median(error):7.2f}"
          f" {sure.mean():6.2f} {wrong:10} {cover} {np.median(taken):7.1f} s", flush=True)  # fmt: skip


def picture(volume: xr.Dataset, path: str) -> None:
    """Draw the third case, whose contrast is folded, at the start and as it was found."""
    image, _, start = case(volume, 2, 0.3, 10.0, 6.0)
    found = fusion.find_section(image, volume, start=start)
    ways = (way.inverse() for way in (found.transform, start))
    volumes.plot_alignment(volume, image, next(ways), before=next(ways)).savefig(path, dpi=60)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Find planes of a measured volume.")
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--absent", type=int, default=50, help="planes that the range does not hold")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.3, 1.0], help="in standard deviations")
    parser.add_argument("--small", action="store_true", help="two cases in all")
    parser.add_argument("--picture", help="draw one case instead, into this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    volume = needle()
    if options.picture:
        picture(volume, options.picture)
        return
    print("noise   off  vox  cases  within 3  median   sure  sure+wrong  covered    time")
    for noise in (0.3,) if options.small else options.noise:
        measure(volume, noise, 10.0, 6.0, 1 if options.small else options.cases)
    measure(volume, 0.3, 40.0, 20.0, 1 if options.small else options.absent)


if __name__ == "__main__":
    main()
