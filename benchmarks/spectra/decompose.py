"""Race decompositions of sparse counts against HyperSpy.

    python benchmarks/spectra/decompose.py [--size 256] [--repeat 3] [--method pca | nmf]

A map of size x size pixels and 2048 channels with 5 endmembers, Poisson counts, about 95 % zeros; both start from the
same integers in memory and may use all cores. Every run is a process of its own, so that its peak memory is its own:
the peak less what the process held before it began, which is the map and the libraries. The contenders take turns,
so that a noisy machine is noisy for all, and the ratios are medians over turns. Angles are those of the signal
subspace, largest first, to a brute-force eigendecomposition of the weighted Gram matrix.

NMF is raced as each comes: HyperSpy stops after 200 rounds or at a tolerance of 1e-4, and we where a round lowers the
residual by less than 1e-12 of it. The residuals say who came closer.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, subspace_angles

import fusion
import spectra
from fusion import Axis

Array = NDArray[Any]
CHANNELS, ENDMEMBERS, DOSE = 2048, 5, 110.0


class Run(NamedTuple):
    """What one process found: seconds, bytes, and the numbers that judge it."""

    seconds: float
    memory: float
    error: list[float]


def scene(size: int) -> Array:
    """Return Poisson counts (y, x, channel) of five spectra with four lines each on a falling background."""
    rng = np.random.default_rng(0)
    channel = np.arange(CHANNELS)
    centres = rng.uniform(0.05, 0.9, (ENDMEMBERS, 4, 1)) * CHANNELS
    heights = rng.uniform(0.2, 1.0, (ENDMEMBERS, 4, 1)) / 8
    pure = (heights * np.exp(-(((channel - centres) / 8) ** 2) / 2)).sum(axis=1)
    pure += 0.9 / CHANNELS * np.exp(-3 * channel / CHANNELS)
    pure /= pure.sum(axis=1, keepdims=True)
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j][..., None]
    places = rng.random((2, ENDMEMBERS))
    share = np.exp(-((y - places[0]) ** 2 + (x - places[1]) ** 2) / 0.08) + 0.01
    share *= DOSE / share.sum(axis=-1, keepdims=True)
    counts = np.empty((size, size, CHANNELS), np.uint16)
    for row, rates in zip(counts, share, strict=True):
        row[:] = rng.poisson(rates @ pure)
    return counts


def ours(counts: Array, method: str) -> Callable[[], tuple[Array, Array]]:
    """Decompose with `spectra.decompose`."""
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}
    ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")

    def run() -> tuple[Array, Array]:
        found = spectra.decompose(ds, ENDMEMBERS, method=method)  # type: ignore[arg-type]
        return found["abundance"].values.reshape(-1, ENDMEMBERS), found["endmember"].values

    return run


def hyperspy(counts: Array, method: str) -> Callable[[], tuple[Array, Array]]:
    """Decompose with HyperSpy's defaults; it takes floating-point numbers only."""
    from hyperspy.signals import Signal1D

    options: dict[str, Any] = {"algorithm": "NMF", "random_state": 0} if method == "nmf" else {}

    def run() -> tuple[Array, Array]:
        signal = Signal1D(counts.astype(float))
        signal.decomposition(normalize_poissonian_noise=True, output_dimension=ENDMEMBERS, print_info=False, **options)
        found = signal.learning_results
        return found.loadings[:, :ENDMEMBERS], found.factors.T[:ENDMEMBERS]

    return run


def weights(counts: Array) -> tuple[Array, Array]:
    """Return the square roots of the sums of pixels and of channels, infinite where there is nothing."""
    matrix = counts.reshape(-1, CHANNELS)
    roots = (np.sqrt(matrix.sum(axis=axis, dtype=float)) for axis in (1, 0))
    by_pixel, by_channel = (np.where(root > 0, root, np.inf) for root in roots)
    return by_pixel, by_channel


def angles(counts: Array, endmembers: Array) -> list[float]:
    """Return the angles of the found subspace to the exact one in degrees."""
    by_pixel, by_channel = weights(counts)
    gram = np.zeros((CHANNELS, CHANNELS))
    for slab, roots in zip(counts, by_pixel.reshape(counts.shape[:2]), strict=True):
        part = slab / roots[:, None] / by_channel
        gram += part.T @ part
    exact = eigh(gram, subset_by_index=[CHANNELS - ENDMEMBERS, CHANNELS - 1])[1]
    found: Array = np.rad2deg(subspace_angles((endmembers / by_channel).T, exact))
    return [float(angle) for angle in found]


def residual(counts: Array, scores: Array, endmembers: Array) -> list[float]:
    """Return the norm of the weighted map less the weighted model over that of the map."""
    by_pixel, by_channel = weights(counts)
    missed = total = 0.0
    for slab, roots, part in zip(
        counts, by_pixel.reshape(counts.shape[:2]), scores.reshape(*counts.shape[:2], -1), strict=True
    ):
        weight = roots[:, None] * by_channel
        missed += (((slab - part @ endmembers) / weight) ** 2).sum()
        total += ((slab / weight) ** 2).sum()
    return [float(np.sqrt(missed / total))]


def child(options: argparse.Namespace) -> None:
    """Run one contender once and print what it needed."""
    counts, small = scene(options.size), scene(8)
    contender = {"ours": ours, "hyperspy": hyperspy}[options.child]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        contender(small, options.method)()  # libraries load on first use
        run = contender(counts, options.method)
        before = peak()
        start = time.perf_counter()
        scores, endmembers = run()
        seconds, memory = time.perf_counter() - start, peak() - before
    print(json.dumps([seconds, memory, judged(counts, scores, endmembers, options) if options.judge else []]))


def judged(counts: Array, scores: Array, endmembers: Array, options: argparse.Namespace) -> list[float]:
    """Return what judges the method."""
    return angles(counts, endmembers) if options.method == "pca" else residual(counts, scores, endmembers)


def peak() -> float:
    """Return the largest memory this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(name: str, method: str, size: int, judge: int = 0) -> Run:
    """Return what a process of its own needs."""
    given = {"child": name, "method": method, "size": size, "judge": judge}
    command = [sys.executable, __file__, *(f"--{key}={value}" for key, value in given.items())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def race(title: str, method: str, options: argparse.Namespace) -> None:
    """Let both take turns, and print the table."""
    runs: dict[str, list[Run]] = {"ours": [], "hyperspy": []}
    for turn in range(1, options.repeat + 1):
        for name, turns in runs.items():
            turns.append(measured(name, method, options.size, int(turn == options.repeat)))
    print(title)
    for name, turns in runs.items():
        worst = " ".join(f"{value:.3g}" if method == "pca" else f"{value:.10f}" for value in turns[-1].error)
        ratios = [np.median([a[i] / b[i] for a, b in zip(turns, runs["ours"], strict=True)]) for i in (0, 1)]
        seconds, memory = (np.median([turn[i] for turn in turns]) for i in (0, 1))
        needs = f"{seconds:8.2f} s {memory / 1e6:8.0f} MB {ratios[0]:7.2f} x time {ratios[1]:7.2f} x memory"
        print(f"  {name:9} {needs}   {'angles' if method == 'pca' else 'residual'} {worst}", flush=True)


def growth(options: argparse.Namespace) -> None:
    """Print how time and memory grow with the number of pixels."""
    sizes = [options.size // 2, round(options.size / np.sqrt(2)), options.size]
    print("growth with pixels, ours, singular vectors")
    for size in sizes:
        turns = [measured("ours", "pca", size) for _ in range(options.repeat)]
        seconds, memory = (float(np.median([turn[i] for turn in turns])) for i in (0, 1))
        print(f"  {size**2:8} pixels {seconds:7.2f} s {seconds / size**2 * 1e6:7.1f} us and "
              f"{memory / size**2:6.0f} bytes a pixel", flush=True)  # fmt: skip


def main() -> None:
    """Run all races, or be one contender of one of them."""
    options = arguments()
    if options.child:
        child(options)
        return
    print(f"{options.size} x {options.size} pixels, {CHANNELS} channels, median of {options.repeat}")
    if options.method != "nmf":
        race("singular vectors, HyperSpy's defaults", "pca", options)
        growth(options)
    if options.method != "pca":
        race("NMF, defaults of each", "nmf", options)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Race decompositions of sparse counts against HyperSpy.")
    parser.add_argument("--size", type=int, default=256, help="pixels along an edge of the map")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--method", choices=("pca", "nmf"), help="one of the two only")
    for name, kind in (("child", str), ("judge", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
