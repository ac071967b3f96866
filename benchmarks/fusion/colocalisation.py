"""How often independent channels are called colocalised, how often Manders' interval holds, and that of r in doubt.

The last table is of two maps that correlate by 0.6, on each other with an error that the registration states.

python benchmarks/fusion/colocalisation.py [--runs 300] [--size 96] [--width 1 2 4] [--off 1 2 4]
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import gaussian_filter

import fusion

Field = npt.NDArray[np.float64]
RATE, THRESHOLD = 5.0, 6.0
"""Photons for one unit of a spot, beside one of background, and how many of them are called bright."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--width", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--off", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print(
        "| spots, pixels | M1, M2 rejected at 5 % | colocalised, Costes | interval of M1 holds |\n|---:|---:|---:|---:|"
    )
    for width in options.width:
        null, costes = independent(rng, options.runs, options.size, width)
        held = sharing(rng, options.runs, options.size, width)
        print(f"| {width} | {null[0]:.1%}, {null[1]:.1%} | {costes:.1%} | {held:.1%} |", flush=True)
    print("\n| registration off by, pixels | pixels alone hold r = 0.6 | with its covariance |\n|---:|---:|---:|")
    for sigma in options.off:
        alone, ours = displaced(rng, max(options.runs // 6, 1), options.size, sigma)
        print(f"| {sigma:g} | {alone:.0%} | {ours:.0%} |", flush=True)


def independent(rng: np.random.Generator, runs: int, size: int, width: int) -> tuple[Field, float]:
    """Return how often each coefficient is significant, and how often the verdict with Costes' thresholds is."""
    below, costes = [], []
    for _ in range(runs):
        a, b = (counted(rng, spots(rng, size, width)) for _ in "ab")
        found = fusion.colocalisation(a, b, thresholds=(THRESHOLD, THRESHOLD))
        below.append([found.first.p < 0.05, found.second.p < 0.05])
        costes.append(fusion.colocalisation(a, b).verdict.startswith("colocalised"))
    return np.mean(below, axis=0), float(np.mean(costes))


def sharing(rng: np.random.Generator, runs: int, size: int, width: int) -> float:
    """Return how often the interval holds the share of all fields together."""
    sums, intervals = np.zeros(2), []
    for _ in range(runs):
        shared = spots(rng, size, width)
        a, b = (counted(rng, shared + spots(rng, size, width)) for _ in "ab")
        found = fusion.colocalisation(a, b, thresholds=(THRESHOLD, THRESHOLD)).first
        intervals.append((found.low, found.high))
        bright = a.values > THRESHOLD
        sums += a.values[bright & (b.values > THRESHOLD)].sum(), a.values[bright].sum()
    low, high = np.transpose(intervals)
    return float(np.mean((low <= sums[0] / sums[1]) & (sums[0] / sums[1] <= high)))


def displaced(rng: np.random.Generator, runs: int, size: int, sigma: float) -> tuple[float, float]:
    """Return how often 0.6 lies in the interval of two maps whose position is known to `sigma` pixels."""
    covariance = np.zeros((12, 12))
    covariance[[7, 11], [7, 11]] = sigma**2
    transform = fusion.Affine(np.eye(4), covariance=covariance)
    rim = int(np.ceil(4 * sigma))
    held = []
    for _ in range(runs):
        shared, own = (normal(rng, size + 2 * rim, 3) for _ in "ab")
        dy, dx = np.clip(np.rint(rng.normal(scale=sigma, size=2)), -rim, rim).astype(int) + rim
        both = 0.6 * shared + 0.8 * own
        a, b = shared[rim : rim + size, rim : rim + size], both[dy : dy + size, dx : dx + size]
        found = [fusion.correlation(on_grid(a), on_grid(b), transform=each) for each in (None, transform)]
        held.append([each.low < 0.6 < each.high for each in found])
    alone, ours = np.mean(held, axis=0)
    return float(alone), float(ours)


def normal(rng: np.random.Generator, size: int, width: int) -> Field:
    """Return a smooth field of variance 1, cut from a larger one."""
    field = gaussian_filter(rng.normal(size=(size + 8 * width,) * 2), width)[
        4 * width : -4 * width, 4 * width : -4 * width
    ]
    return np.asarray(field * (2.0 * np.sqrt(np.pi) * width))


def spots(rng: np.random.Generator, size: int, width: int) -> Field:
    return np.asarray(np.clip(normal(rng, size, width) - 1.0, 0.0, None) ** 2)


def counted(rng: np.random.Generator, light: Field) -> xr.DataArray:
    return on_grid(rng.poisson(RATE * light + 1.0).astype(float))


def on_grid(values: Field) -> xr.DataArray:
    axes = {dim: fusion.Axis("um", 1.0) for dim in "yx"}
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name="field", cell_methods="mean")["image"]


if __name__ == "__main__":
    main()
