"""Predict views of the needle that were not used, by volumes.reconstruct's solvers and by scikit-image, in one run.

python benchmarks/volumes/tomography.py [--bin 2] [--slices 16] [--small]

Every second view makes the slices, the others judge them: the norm of what is wrong with their prediction over the norm
of these views. The rounds are chosen without them, from every tenth of the views that are used. The slices of
scikit-image are judged by its own projector and by ours in all four orientations, and by the best of these five.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.transform import iradon, iradon_sart, radon

import conspectus
from fusion.specimens.measured import locate
from volumes.tomography.projector import Projector
from volumes.tomography.solvers import cgls, filtered_back_projection, fista, sirt
from volumes.tomography.stopping import left_out, stop_by

Array = npt.NDArray[Any]
SERIES = "electron_tomography/HAADF_Aligned.hspy"


def needle(bins: int, slices: int) -> tuple[Array, Array]:
    """Return views (tilt, across, slice) and angles; the outermost slices lack data in some views and are left out."""
    series = conspectus.open(locate(SERIES))
    array = series["HAADF_Aligned"]["image"].transpose("tilt", "y", "x").values
    size = array.shape[1] // bins
    views = array.reshape(array.shape[0], size, bins, size, bins).mean((2, 4))
    chosen = np.linspace(0.05 * size, 0.7 * size, slices).astype(int)
    return np.ascontiguousarray(views[:, :, chosen], np.float32), series["HAADF_Aligned"]["tilt"].values


def timed(work: Callable[[], Array]) -> tuple[Array, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def error(predicted: Array, expected: Array) -> float:
    return float(np.linalg.norm(predicted - expected) / np.linalg.norm(expected))


def peer_error(planes: Array, judge: Projector, expected: Array) -> float:
    """Return the error of slices of scikit-image by the projector that suits them best."""
    own = np.stack([radon(plane, judge.angles, circle=True).T for plane in planes.transpose(2, 0, 1)], axis=-1)
    turned = [planes, planes[::-1], planes.transpose(1, 0, 2), planes.transpose(1, 0, 2)[::-1]]
    ours = [judge.forward(np.ascontiguousarray(each, np.float32)) for each in turned]
    ours += [judge.forward(np.ascontiguousarray(each[:, ::-1], np.float32)) for each in turned]
    return min(error(own, expected), *(error(each, expected) for each in ours))


def sart(views: Array, angles: Array, passes: int) -> Array:
    planes = []
    for sinogram in views.transpose(2, 1, 0).astype(np.float64):
        plane = None
        for _ in range(passes):
            plane = iradon_sart(np.ascontiguousarray(sinogram), angles, image=plane, clip=(0.0, np.inf))
        planes.append(plane)
    return np.stack(planes, axis=-1)


def fbp(views: Array, angles: Array) -> Array:
    sinograms = views.transpose(2, 1, 0)
    return np.stack([iradon(s, angles, filter_name="hann", circle=True) for s in sinograms], axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=int, default=2)
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--small", action="store_true", help="a quarter of the pixels, few slices")
    given = parser.parse_args()
    bins, slices = (8, 4) if given.small else (given.bin, given.slices)
    views, angles = needle(bins, slices)
    projector = Projector(angles, views.shape[1])
    judge, used = projector.subset(slice(1, None, 2)), projector.subset(slice(0, None, 2))
    expected, known = views[1::2], views[::2]
    used.subset(slice(0, 2)).adjoint(
        used.subset(slice(0, 2)).forward(used.adjoint(known))
    )  # compiled before it is timed
    print(
        f"{slices} slices of {views.shape[1]}² from {known.shape[0]} views; {expected.shape[0]} others are predicted\n"
    )
    print("| method | rounds | error | CPU, ms per slice |\n|---|---:|---:|---:|")
    peers: dict[str, tuple[float, float]] = {}
    for passes in (1, 2, 4):
        planes, cpu = timed(lambda passes=passes: sart(known, used.angles, passes))
        peers[f"scikit-image SART, {passes} passes"] = peer_error(planes, judge, expected), cpu
    planes, cpu = timed(lambda: fbp(known, used.angles))
    peers["scikit-image FBP, Hann"] = peer_error(planes, judge, expected), cpu
    for name, (wrong, cpu) in peers.items():
        print(f"| {name} | | {wrong:.4f} | {1e3 * cpu / slices:.1f} |")
    report_astra(known, used.angles)
    target = min(wrong for wrong, _ in peers.values())
    cost = next(cpu for wrong, cpu in peers.values() if wrong == target)
    planes, cpu = timed(lambda: filtered_back_projection(used, known))
    print(f"| ours, FBP | | {error(judge.forward(planes), expected):.4f} | {1e3 * cpu / slices:.1f} |")
    for name, solver in {"fista": fista, "cgls": cgls, "sirt": sirt}.items():
        rounds = stop_by(solver, used, known, left_out(known.shape[0], 0.1)).rounds
        planes, cpu = timed(lambda solver=solver, rounds=rounds: next(islice(solver(used, known), rounds - 1, None)))
        print(f"| ours, {name} | {rounds} | {error(judge.forward(planes), expected):.4f} | {1e3 * cpu / slices:.1f} |")
        report_equal(name, solver(used, known), judge, expected, target, cost, slices)


def report_equal(
    name: str, estimates: Any, judge: Projector, expected: Array, target: float, cost: float, n: int
) -> None:
    """Print the CPU time until the error of the best slice of scikit-image is reached."""
    cpu = 0.0
    for number in range(1, 201):
        planes, more = timed(lambda: next(estimates))
        cpu += more
        if error(judge.forward(planes), expected) <= target:
            share = f"{1e3 * cpu / n:.1f} ({cpu / cost:.2f} of its)"
            print(f"| ours, {name}, as good as scikit-image | {number} | {target:.4f} | {share} |")
            return


def report_astra(known: Array, angles: Array) -> None:
    """Say whether ASTRA can take part; its package needs CUDA's libraries even for work on the CPU."""
    try:
        import astra  # noqa: F401
    except (ImportError, OSError) as problem:
        print(f"| ASTRA | | does not import: {problem} | |")


if __name__ == "__main__":
    main()
