"""Spectra of phases through partial volumes, against the mean under each phase's mask: bias and coverage of the truth.

python benchmarks/spectra/phase_spectra.py [--runs 40] [--ratio 1 2 5 10 20] [--shift 0 1 2 3] [--small]

A specimen of three phases is segmented exactly, on cells `ratio` times smaller than the pixels of the map; the map lies
off by a random shift of so many pixels (standard deviation along each axis), which the fit is told as an error only.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import gaussian_filter, zoom

import fusion
import spectra
from fusion import Affine, Axis
from fusion.model import with_error
from spectra.factorisation.shifted import Fractions

Array = npt.NDArray[np.float64]
PIXELS, MARGIN, PHASES, CHANNELS = 32, 13, 3, 60


def specimen(rng: np.random.Generator, ratio: int) -> Array:
    """Return the fractions (y, x, phase) of cells of phases some three pixels wide: 0 or 1."""
    drawn = min(ratio, 4)
    size = (PIXELS + 2 * MARGIN) * drawn
    fields = [gaussian_filter(rng.normal(size=(size, size)), 1.5 * drawn, mode="wrap") for _ in range(PHASES)]
    finer = fields if drawn == ratio else [zoom(field, ratio / drawn, order=1) for field in fields]
    return np.eye(PHASES)[np.argmax(finer, axis=0)]


def endmembers() -> Array:
    """Return counts (phase, channel) of a filled pixel: a common continuum, and two peaks for each phase."""
    axis = np.arange(CHANNELS)
    lines = [(8, 30, 3.0), (20, 45, 2.0), (33, 52, 4.0)]
    peaks = [height * sum(np.exp(-0.5 * ((axis - at) / 2.0) ** 2) for at in (a, b)) for a, b, height in lines]
    return 0.3 * np.exp(-axis / 30.0) + np.array(peaks)


def measured(rng: np.random.Generator, cells: Array, ratio: int, shift: Array) -> xr.Dataset:
    """Return the counts of a map that lies off by a shift in pixels."""
    edges = np.arange(cells.shape[0] + 1) / ratio - MARGIN
    pixels = np.arange(PIXELS + 1.0)
    means = Fractions(cells, (edges, edges), (pixels, pixels)).at(shift)
    counts = rng.poisson(means @ endmembers()).reshape(PIXELS, PIXELS, CHANNELS)
    um = Axis("um", 1.0, 0.5)
    axes = {"y": um, "x": um, "energy": Axis("keV", 0.1)}
    return fusion.dataset({"counts": (("y", "x", "energy"), counts)}, axes, name="map", cell_methods="sum", frame="s")


def segmented(cells: Array, ratio: int) -> xr.Dataset:
    um = Axis("um", 1.0 / ratio, 0.5 / ratio - MARGIN)
    axes = {"y": um, "x": um, "component": np.arange(PHASES)}
    variables = {"fraction": (("y", "x", "component"), cells)}
    return fusion.dataset(variables, axes, name="phases", cell_methods="mean", frame="s")


def under_mask(ds: xr.Dataset, cells: Array, ratio: int) -> Array:
    """Return the mean spectrum of the pixels of which a phase has the largest share."""
    inner = cells[MARGIN * ratio : -MARGIN * ratio, MARGIN * ratio : -MARGIN * ratio]
    shares = inner.reshape(PIXELS, ratio, PIXELS, ratio, PHASES).mean(axis=(1, 3))
    phase = shares.argmax(axis=-1)
    return np.array([ds["counts"].values[phase == k].mean(axis=0) for k in range(PHASES)])


def of_uncertain_fractions(runs: int) -> None:
    """Print how often intervals hold the truth where true shares scatter about the fractions."""
    print("\n| scatter of the shares | bias, % | hold, scatter ignored | 95 % hold |\n|---:|---:|---:|---:|")
    truth, rng = endmembers()[:2], np.random.default_rng(0)
    um, dims = Axis("um", 1.0), ("y", "x", "component")
    for scatter in (0.05, 0.1, 0.2):
        spectra_found, held = [], []
        for _ in range(runs):
            expected = rng.uniform(0.1, 0.9, size=(PIXELS, PIXELS))
            many = expected * (1 - expected) / scatter**2 - 1
            share = rng.beta(expected * many, (1 - expected) * many)
            counts = rng.poisson(np.stack([share, 1 - share], -1) @ truth)
            axes = {"y": um, "x": um, "energy": Axis("keV", 0.1)}
            variables = {"counts": (("y", "x", "energy"), counts)}
            ds = fusion.dataset(variables, axes, name="map", cell_methods="sum", frame="s")
            values = {"fraction": (dims, np.stack([expected, 1 - expected], -1))}
            axes = {"y": um, "x": um, "component": np.arange(2)}
            bare = fusion.dataset(values, axes, name="phases", cell_methods="mean", frame="s")
            uncertain = with_error(bare, "fraction", xr.full_like(bare["fraction"], scatter))
            results = [spectra.phase_spectra(ds, phases) for phases in (bare, uncertain)]
            errors = [1.96 * result["endmember_stderr"].values for result in results]
            off = [np.abs(result["endmember"].values - truth) for result in results]
            held.append([np.mean(one < error) for one, error in zip(off, errors, strict=True)])
            spectra_found.append(results[1]["endmember"].values)
        bias = 100 * float((np.mean(spectra_found, axis=0) - truth).sum() / truth.sum())
        ignored, ours = np.mean(held, axis=0)
        print(f"| {scatter:g} | {bias:+.1f} | {ignored:.1%} | {ours:.1%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--ratio", type=int, nargs="+", default=[1, 2, 5, 10, 20])
    parser.add_argument("--shift", type=float, nargs="+", default=[0.0, 1.0, 2.0, 3.0])
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.runs, options.ratio, options.shift = 3, [1, 5], [0.0, 1.0]
    truth = endmembers()
    lines = truth > 0.2 * truth.max(axis=1, keepdims=True)
    print(f"{PIXELS} x {PIXELS} pixels, {options.runs} maps each; bias of the lines of a phase, in % of them\n")
    print("| ratio | shift, px | mean under the mask | shift ignored | phase_spectra | 95 % hold | error, % | s |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for ratio in options.ratio:
        for sigma in options.shift:
            rng = np.random.default_rng([ratio, int(10 * sigma)])
            means, ignoring, ours, held, widths, seconds = [], [], [], [], [], 0.0
            for _ in range(options.runs):
                cells, shift = specimen(rng, ratio), sigma * rng.normal(size=2)
                ds, fractions = measured(rng, cells, ratio, shift), segmented(cells, ratio)
                means.append(under_mask(ds, cells, ratio))
                ignoring.append(spectra.phase_spectra(ds, fractions, transform=Affine.identity())["endmember"].values)
                start = time.process_time()
                found = spectra.phase_spectra(ds, fractions, position=sigma)
                seconds += time.process_time() - start
                ours.append(found["endmember"].values)
                error = found["endmember_stderr"].values
                held.append(np.abs(ours[-1] - truth) < 1.96 * error)
                widths.append(error)
            bias = [
                100 * float((np.mean(each, axis=0) - truth)[lines].sum() / truth[lines].sum())
                for each in (means, ignoring, ours)
            ]
            error = 100 * float((np.mean(widths, axis=0) / truth)[lines].mean())
            figures = " | ".join(f"{each:+.1f}" for each in bias)
            row = f"{figures} | {np.mean(held):.1%} | {error:.1f} | {seconds / options.runs:.2f} |"
            print(f"| {ratio} | {sigma:g} | {row}", flush=True)
    of_uncertain_fractions(options.runs)


if __name__ == "__main__":
    main()
