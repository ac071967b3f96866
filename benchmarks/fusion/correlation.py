"""How often independent maps are called correlated at 5 %, by fusion.correlation and by a test that counts every pixel.

python benchmarks/fusion/correlation.py [--runs 1000] [--size 128] [--length 1 3 8 15 20]
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import stats

import fusion

Field = npt.NDArray[np.float64]
KINDS = ("gaussian", "exponential", "lognormal", "binary")


def field(rng: np.random.Generator, size: int, length: int, kind: str) -> Field:
    """Return a random field, cut from one so much larger that it does not meet itself at the edges."""
    wide = size + 8 * length
    squares = np.add.outer(np.fft.fftfreq(wide) ** 2, np.fft.fftfreq(wide) ** 2)
    if kind == "exponential":
        power = (1.0 + (2.0 * np.pi * length) ** 2 * squares) ** -1.5
    else:
        power = np.exp(-2.0 * (np.pi * length) ** 2 * squares)
    noise = np.fft.fft2(rng.normal(size=(wide, wide)))
    values = (np.fft.ifft2(noise * np.sqrt(power)).real / np.sqrt(power.mean()))[:size, :size]
    if kind == "lognormal":
        return np.asarray(np.exp(values))
    return (values > 0).astype(float) if kind == "binary" else values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--length", type=int, nargs="+", default=[1, 3, 8, 15, 20])
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    axis = np.arange(float(given.size))
    print(f"{given.size} x {given.size} pixels, {given.runs} pairs each; rejected at 5 %, of those that are judged\n")
    print(
        "| field | length | n_eff, median | judged | every pixel | fusion.correlation |\n|---|---:|---:|---:|---:|---:|"
    )
    for kind in KINDS:
        for length in given.length:
            naive, ours, numbers = [], [], []
            for _ in range(given.runs):
                a, b = (xr.DataArray(field(rng, given.size, length, kind), {"y": axis, "x": axis}) for _ in "ab")
                result = fusion.correlation(a, b)
                naive.append(stats.pearsonr(a.values.ravel(), b.values.ravel()).pvalue < 0.05)
                ours.append(result.p)
                numbers.append(result.n_effective)
            judged = np.isfinite(ours)
            share = np.mean(np.array(ours)[judged] < 0.05) if judged.any() else np.nan
            row = f"{np.median(numbers):.0f} | {judged.mean():.0%} | {np.mean(naive):.1%} | {share:.1%}"
            print(f"| {kind} | {length} | {row} |", flush=True)


if __name__ == "__main__":
    main()
