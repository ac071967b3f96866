"""Coverage of the 95 % intervals of `fusion.fuse` where the pose is fitted to landmarks that are off.

    python benchmarks/fusion/positions.py [--maps 40]

A map of one phase with a sharp or soft edge is counted, registered by eight landmarks so that its middle is off by
0.15, 0.5 or 1 pixel (standard deviation along an axis), and fused. The truth is what the map would show without noise
at the true position of a voxel: the interval is for the map as measured, not for detail within its pixels. All voxels
of one replicate share one pose, so that the coverage is known to a few per cent where the pose rules.
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


def brightness(edge: str, dose: float) -> Array:
    """Return the mean counts of a map with a slanted edge."""
    y, x = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    distance = (y - SIZE / 2 + 0.3 * (x - SIZE / 2)) / np.hypot(1.0, 0.3)
    return np.asarray(dose * (0.6 + 0.4 * np.tanh(distance / EDGES[edge])))


def decomposed(counts: Array, *, errors: bool) -> xr.Dataset:
    """Return a map as `spectra.decompose` gives it, with one component."""
    variables: dict[str, Any] = {
        "abundance": (("y", "x", "component"), counts[..., None], {"units": "count"}),
        "endmember": (("component", "energy"), np.ones((1, 1))),
    }
    if errors:
        error = np.sqrt(np.maximum(counts, 1.0))[..., None]
        variables["abundance_stderr"] = (("y", "x", "component"), error, {"units": "count"})
    axes: dict[str, Any] = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "component": [0], "energy": Axis("keV", 1.0)}
    return fusion.dataset(variables, axes, name="map", cell_methods="mean", frame="s")


def volume() -> xr.Dataset:
    """Return the grid of the image that the map is fused with, half a pixel fine."""
    axes = {"y": Axis("um", 0.53, 4.0), "x": Axis("um", 0.53, 4.0)}
    return fusion.dataset({"grey": (("y", "x"), np.ones((29, 29)))}, axes, name="g", cell_methods="mean", frame="s")


def replicate(rng: np.random.Generator, edge: str, dose: float, off: float) -> tuple[Array, Array]:
    """Return which voxels hold the truth, and which are within a pixel of the edge at their true position."""
    true = Affine.translation(0.0, 0.4, -0.7) @ Affine.rotation(4.0)
    marks = np.column_stack([np.zeros(8), rng.uniform(0, SIZE, (8, 2))])
    sigma = off * np.sqrt(8)
    seen = true(marks) + np.column_stack([np.zeros(8), rng.normal(0.0, sigma, (8, 2))])
    fitted = fusion.register_landmarks(marks[:, 1:], seen[:, 1:], model="rigid", sigma=sigma, outliers="keep").transform
    mean = brightness(edge, dose)
    fused = fusion.fuse(decomposed(rng.poisson(mean).astype(float), errors=True), volume(), transform=fitted)
    truth = fusion.resample(decomposed(mean, errors=False), volume(), transform=true)["abundance"].values
    error = np.abs(fused["abundance"].values - truth)
    held = (error <= 1.96 * fused["abundance_stderr"].values)[..., 0]
    place = np.stack(np.meshgrid(np.zeros(1), volume()["y"], volume()["x"], indexing="ij"), -1)[0]
    at = true.inverse()(place)
    near = np.abs(at[..., 1] - SIZE / 2 + 0.3 * (at[..., 2] - SIZE / 2)) / np.hypot(1.0, 0.3) <= 1.0
    known = np.isfinite(error[..., 0])
    return held[known], near[known]


def main() -> None:
    """Print the coverage near the edge and everywhere."""
    parser = argparse.ArgumentParser(description="Coverage of fused intervals under an uncertain pose.")
    parser.add_argument("--maps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=2027)
    options = parser.parse_args()
    print(f"coverage of 95 % intervals, {options.maps} maps each: near the edge ± its standard error, and everywhere")
    for edge in EDGES:
        for off in (0.15, 0.5, 1.0):
            for dose in (100.0, 2000.0):
                rng = np.random.default_rng([options.seed, int(100 * off), int(dose), len(edge)])
                pairs = [replicate(rng, edge, dose, off) for _ in range(options.maps)]
                near = np.array([held[close].mean() for held, close in pairs])
                everywhere = np.mean([held.mean() for held, _ in pairs])
                spread = near.std() / np.sqrt(len(near))
                print(
                    f"{edge:6} {off:5.2f} px, {dose:5.0f} counts   {near.mean():.3f} ± {spread:.3f}   {everywhere:.3f}"
                )


if __name__ == "__main__":
    main()
