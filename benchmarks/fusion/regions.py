"""Coverage of the 95 % intervals of `fusion.region_mean` where the pose is fitted to landmarks that are off.

    python benchmarks/fusion/regions.py [--maps 200]

A map of one phase with a sharp or soft edge is counted, registered by eight landmarks so that its middle is off by
0.15, 0.5 or 1 pixel (standard deviation along an axis), and averaged over discs of an image: one across the edge, one
within the phase beside it. The truth is the mean of the map without noise at the true pose. Printed is how many of the
intervals hold it, and how many would if the voxels of a region were independent and the pose exact.
"""

import argparse
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import fusion
from fusion import Affine, Axis

Array = NDArray[Any]
SIZE = 24
EDGES = {"sharp": 0.1, "soft": 2.0}
"""Width in pixels of the edge of the phase."""
DISCS = {"across the edge": (12.0, 12.0, 3.0), "within the phase": (16.5, 12.0, 2.5)}
"""Middle y, x and radius in um, which are pixels of the map."""


def brightness(edge: str, dose: float) -> Array:
    """Return the mean counts of a map with a slanted edge."""
    y, x = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    distance = (y - SIZE / 2 + 0.3 * (x - SIZE / 2)) / np.hypot(1.0, 0.3)
    return np.asarray(dose * (0.6 + 0.4 * np.tanh(distance / EDGES[edge])))


def mapped(counts: Array) -> xr.Dataset:
    """Return a map with the errors of its counts."""
    attrs, errors = {"ancillary_variables": "v_stderr"}, np.sqrt(np.maximum(counts, 1.0))
    variables = {"v": (("y", "x"), counts, attrs), "v_stderr": (("y", "x"), errors)}
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
    return fusion.dataset(variables, axes, name="map", cell_methods="mean", frame="s")


def image() -> xr.Dataset:
    """Return the grid of the image, half a pixel fine."""
    axes = {"y": Axis("um", 0.53, 4.0), "x": Axis("um", 0.53, 4.0)}
    return fusion.dataset({"grey": (("y", "x"), np.ones((29, 29)))}, axes, name="g", cell_methods="mean", frame="s")


def fitted(rng: np.random.Generator, true: Affine, off: float) -> Affine:
    """Return the rigid transform through eight landmarks whose errors leave the middle off by `off`."""
    marks = rng.uniform(0, SIZE, (8, 2))
    sigma = off * np.sqrt(8)
    seen = true(np.column_stack([np.zeros(8), marks]))[:, 1:] + rng.normal(0.0, sigma, (8, 2))
    return fusion.register_landmarks(marks, seen, model="rigid", sigma=sigma, outliers="keep").transform


def replicate(rng: np.random.Generator, edge: str, dose: float, off: float) -> list[tuple[bool, bool]]:
    """Return for each disc whether the interval holds the truth, and whether that of independent voxels does."""
    true, grid, mean = Affine.translation(0.0, 0.4, -0.7) @ Affine.rotation(4.0), image(), brightness(edge, dose)
    ds, transform, held = mapped(rng.poisson(mean).astype(float)), fitted(rng, true, off), []
    errors = fusion.resample(ds, grid, transform=transform)["v_stderr"]
    for y, x, radius in DISCS.values():
        disc = (grid["y"] - y) ** 2 + (grid["x"] - x) ** 2 < radius**2
        truth = fusion.region_mean(mapped(mean), grid, disc, transform=true)["v"].item()
        found = fusion.region_mean(ds, grid, disc, transform=transform)
        error = abs(found["v"].item() - truth)
        naive = float((errors.where(disc) ** 2).sum() ** 0.5 / disc.sum())
        held.append((error <= 1.96 * found["v_stderr"].item(), error <= 1.96 * naive))
    return held


def main() -> None:
    """Print the coverage of each disc, with its standard error."""
    parser = argparse.ArgumentParser(description="Coverage of the means of regions under an uncertain pose.")
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2028)
    options = parser.parse_args()
    print(
        f"coverage of 95 % intervals, {options.maps} maps each; in brackets with independent voxels and an exact pose"
    )
    for edge in EDGES:
        for off in (0.15, 0.5, 1.0):
            for dose in (100.0, 2000.0):
                rng = np.random.default_rng([options.seed, int(100 * off), int(dose), len(edge)])
                held = np.array([replicate(rng, edge, dose, off) for _ in range(options.maps)], float)
                share, error = held.mean(axis=0), held.std(axis=0)[:, 0] / np.sqrt(options.maps)
                cells = [
                    f"{name} {s[0]:.3f} ± {e:.3f} ({s[1]:.2f})" for name, s, e in zip(DISCS, share, error, strict=True)
                ]
                print(f"{edge:6} {off:5.2f} px, {dose:5.0f} counts   {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
