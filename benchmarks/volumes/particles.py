"""Particles found by volumes.find_particles and by trackpy, tuned for each image by its truth.

python benchmarks/volumes/particles.py [--fraction 0.1 0.3 0.55] [--snr 1 3 10] [--blur 1 2] [--spread 0 0.08] [--many]

Without trackpy (pip install trackpy) its columns are nan. Spheres with a radius of 4 voxels, drawn on a finer grid,
blurred by 1.2 voxels across and `blur` times that along z. All figures are of particles that lie a radius within the
border. Pulls are errors over standard errors.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

import volumes

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.makers.spheres import image_of, labelled, suspension

Array = npt.NDArray[np.float64]
RADIUS, LATERAL, STEP = 4.0, 1.2, 0.1


def paired(true: Array, found: Array) -> tuple[Array, Array]:
    """Return the numbers of true and found places that belong together, within three quarters of a radius."""
    distance = np.linalg.norm(true[:, None] - found[None], axis=2)
    gain = np.maximum(0.75 * RADIUS - distance, 0.0)
    first, second = linear_sum_assignment(gain, maximize=True)
    kept = gain[first, second] > 0
    return first[kept], second[kept]


def scores(true: Array, found: Array, shape: Array) -> tuple[float, float, Array, Array, Array]:
    """Return recall, precision and the pairs of those within."""
    inside = [((at > RADIUS) & (at < shape - 1 - RADIUS)).all(axis=1) for at in (true, found)]
    first, second = paired(true, found)
    recall = inside[0][first].sum() / max(inside[0].sum(), 1)
    precision = inside[1][second].sum() / max(inside[1].sum(), 1)
    kept = inside[0][first]
    return recall, precision, first[kept], second[kept], (found[second] - true[first])[kept]


def by_trackpy(image: Array, true: Array) -> Array | None:
    """Return the places that trackpy finds with the settings that are best for recall, precision and rms together."""
    try:
        import trackpy
    except ImportError:
        return None
    best, most = np.zeros((0, 3)), -1.0
    for diameter, apart in itertools.product((5, 7, 9), (4, 5, 6, 7)):
        for smoothed in (True, False):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = trackpy.locate(image, diameter, separation=apart, preprocess=smoothed, engine="numba")
            if not len(table):
                continue
            masses = np.quantile(table["mass"], [0.0, 0.05, 0.1, 0.2, 0.3])
            for mass in masses:
                found = table.loc[table["mass"] >= mass, ["z", "y", "x"]].dropna().to_numpy()
                recall, precision, *_, off = scores(true, found, np.array(image.shape))
                score = recall + precision - (np.sqrt((off**2).mean()) / RADIUS if off.size else 1.0)
                if score > most:
                    best, most = found, score
    return best


def compare(fraction: float, snr: float, blur: float, spread: float, size: int, seed: int) -> None:
    """Print a row."""
    shape = np.array([size] * 3)
    true, radii = suspension(seed, fraction, tuple(shape), RADIUS, spread)
    image = image_of(true, radii, tuple(shape), (blur * LATERAL, LATERAL, LATERAL))
    image += np.random.default_rng(seed + 1).normal(scale=1.0 / snr, size=shape)
    start = time.process_time()
    ds = labelled(image, (STEP,) * 3, (0.0,) * 3)
    psf = (blur * LATERAL * STEP, LATERAL * STEP)
    points = volumes.find_particles(ds, RADIUS * STEP, psf=psf, polydisperse=spread > 0)
    seconds = time.process_time() - start
    found = np.column_stack([points[dim].values for dim in "zyx"]) / STEP
    error = np.column_stack([points[f"{dim}_stderr"].values for dim in "zyx"]) / STEP
    recall, precision, first, second, off = scores(true, found, shape)
    places = by_trackpy(image, true)
    unknown = np.nan, np.nan, np.empty(0), np.empty(0), np.empty(0)
    peer = unknown if places is None else scores(true, places, shape)
    rms, other = (np.sqrt((each**2).mean()) if each.size else np.nan for each in (off, peer[4]))
    pull = (off / error[second]).std()
    bias = 100 * (points["radius"].values[second] / STEP / radii[first] - 1.0).mean()
    print(
        f"| {fraction:g} | {snr:g} | {blur:g} | {100 * spread:g} % | {recall:.3f} / {precision:.3f} | {rms:.3f} | "
        f"{pull:.2f} | {bias:+.1f} % | "
        f"{peer[0]:.3f} / {peer[1]:.3f} | {other:.3f} | {rms / other:.2f} | {seconds:.0f} |",
        flush=True,
    )


def many() -> None:
    """Print time and memory for ten thousand particles in 256³ voxels."""
    from scipy.ndimage import gaussian_filter

    rng, size, spacing = np.random.default_rng(0), 256, 11.6
    grid = np.arange(spacing / 2, size, spacing)
    true = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3)
    true += rng.uniform(-1.2, 1.2, true.shape)
    image = np.zeros((size,) * 3, np.float32)
    for z, y, x in true:
        box = tuple(slice(max(int(c) - 6, 0), min(int(c) + 7, size)) for c in (z, y, x))
        at = np.ogrid[box]
        near = (at[0] - z) ** 2 + (at[1] - y) ** 2 + (at[2] - x) ** 2
        image[box] += np.clip(RADIUS - np.sqrt(near) + 0.5, 0.0, 1.0)
    image = gaussian_filter(image, LATERAL) + rng.normal(scale=0.2, size=image.shape).astype(np.float32)
    start = time.process_time()
    points = volumes.find_particles(labelled(image, (STEP,) * 3, (0.0,) * 3), 0.4, psf=(0.12, 0.12))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{len(true)} particles in 256³: {points.sizes['point']} found, ", end="")
    print(f"{time.process_time() - start:.0f} s CPU, {peak:.1f} GB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fraction", type=float, nargs="+", default=[0.1, 0.3, 0.55])
    parser.add_argument("--snr", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    parser.add_argument("--blur", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--spread", type=float, nargs="+", default=[0.0, 0.08])
    parser.add_argument("--size", type=int, default=40)
    parser.add_argument("--many", action="store_true")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.fraction, options.snr, options.blur, options.spread, options.size = [0.3], [5.0], [1.0], [0.0], 24
    names = "fraction", "SNR", "blur z", "radii", "recall / precision", "rms, px", "pull", "radius"
    print(f"| {' | '.join((*names, 'trackpy', 'rms, px', 'ratio', 's'))} |\n|{12 * '---:|'}")
    for seed, case in enumerate(itertools.product(options.fraction, options.snr, options.blur, options.spread)):
        compare(*case, options.size, seed)
    if options.many:
        many()


if __name__ == "__main__":
    main()
