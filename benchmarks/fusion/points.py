"""Register points without order: how often the transform is found, and how often it is claimed where there is none.

    python benchmarks/fusion/points.py [--cases 20]

Points of a field of 20 um are found again at any angle (and scale) with an error of 0.08 um; 0, 30 or 50 % of them are
missing on the fixed side, which has as many others instead. A case is found if the middle of an edge of the field lands
within five errors. Printed are the cases found, refused, and found wrongly, the share of 95 % regions that hold the
truth there, and the time of one; then how many pairs of sets without anything in common are claimed to match. pycpd and
small_gicp run on the same rigid cases where they are installed, from a start that knows the centroids.
"""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fusion

Array = NDArray[Any]
SIGMA, FIELD = 0.08, 10.0
CELLS = ((12, 0.0), (12, 0.3), (12, 0.5), (60, 0.0), (60, 0.3), (60, 0.5))


class Case(NamedTuple):
    """Points of both sides, and the true transform."""

    moving: Array
    fixed: Array
    truth: fusion.Affine


def case(dim: int, model: str, count: int, lost: float, seed: int) -> Case:
    """Return a case."""
    rng = np.random.default_rng([dim, len(model), count, round(100 * lost), seed])
    axis = (1.0, 0.0, 0.0) if dim == 2 else rng.normal(size=3)
    size = float(rng.uniform(0.5, 2.0)) if model == "similarity" else 1.0
    truth = fusion.Affine.translation(*rng.normal(size=3) * 20.0 * [dim == 3, 1, 1])
    truth = truth @ fusion.Affine.rotation(rng.uniform(0.0, 360.0), axis=axis) @ fusion.Affine.scaling(size, size, size)
    points = rng.uniform(-FIELD, FIELD, (count, 3)) * [dim == 3, 1, 1]
    kept = rng.permutation(count)[: round(count * (1.0 - lost))]
    found = truth(points[kept]) + rng.normal(size=(len(kept), 3)) * SIGMA * [dim == 3, 1, 1]
    false = rng.uniform(found.min(axis=0), found.max(axis=0), (round(count * lost), 3))
    return Case(points[:, 3 - dim :], rng.permutation(np.concatenate([found, false]))[:, 3 - dim :], truth)


def ours(dim: int, model: Any, count: int, lost: float, cases: int) -> str:
    """Return the figures of one cell."""
    outcome, held = {"found": 0, "refused": 0, "wrong": 0}, 0
    start = time.perf_counter()
    for seed in range(cases):
        one = case(dim, model, count, lost, seed)
        edge = np.array([[0.0, 0.0, FIELD]])
        try:
            result = fusion.register_points(one.moving, one.fixed, sigma=SIGMA, model=model)
        except fusion.RegistrationError:
            outcome["refused"] += 1
            continue
        near = np.linalg.norm(result.transform(edge) - one.truth(edge)) < 5.0 * SIGMA
        outcome["found" if near else "wrong"] += 1
        held += int(result.holds(edge, one.truth(edge))[0])
    seconds = (time.perf_counter() - start) / cases
    claimed = max(cases - outcome["refused"], 1)
    return f"{outcome['found']:5} {outcome['refused']:8} {outcome['wrong']:6} {held / claimed:7.2f} {seconds:8.2f} s"


def with_pycpd(one: Case) -> Array:
    """Return where pycpd's rigid registration takes the edge of the field."""
    import pycpd

    centre, onto = one.moving.mean(axis=0), one.fixed.mean(axis=0)
    fit = pycpd.RigidRegistration(X=one.fixed - onto, Y=one.moving - centre, w=0.5, scale=False, max_iterations=200)
    _, (_, rotation, shift) = fit.register()
    edge = np.zeros((1, one.moving.shape[1]))
    edge[0, -1] = FIELD
    return np.asarray((edge - centre) @ rotation + shift + onto)


def with_gicp(one: Case) -> Array:
    """Return where small_gicp takes the edge of the field, in space only."""
    import small_gicp

    centre, onto = one.moving.mean(axis=0), one.fixed.mean(axis=0)
    result = small_gicp.align(one.fixed - onto, one.moving - centre, registration_type="ICP",
                              max_correspondence_distance=FIELD, downsampling_resolution=1e-3)  # fmt: skip
    matrix = result.T_target_source
    edge = np.zeros(3)
    edge[-1] = FIELD
    return np.asarray(matrix[:3, :3] @ (edge - centre) + matrix[:3, 3] + onto)[None]


PEERS: dict[str, Callable[[Case], Array]] = {"pycpd": with_pycpd, "small_gicp": with_gicp}


def peer(name: str, dim: int, count: int, lost: float, cases: int) -> int:
    """Return how many rigid cases a peer finds."""
    hits = 0
    for seed in range(cases):
        one = case(dim, "rigid", count, lost, seed)
        edge = one.truth([[0.0, 0.0, FIELD]])[:, 3 - dim :]
        hits += int(np.linalg.norm(PEERS[name](one) - edge) < 5.0 * SIGMA)
    return hits


def claimed(dim: int, model: Any, count: int, cases: int) -> int:
    """Return how many pairs of sets without anything in common are claimed to match."""
    hits = 0
    for seed in range(cases):
        rng = np.random.default_rng([9, dim, count, seed])
        try:
            fusion.register_points(*rng.uniform(-FIELD, FIELD, (2, count, dim)), sigma=SIGMA, model=model)
        except fusion.RegistrationError:
            continue
        hits += 1
    return hits


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Register points without order.")
    parser.add_argument("--cases", type=int, default=20)
    cases = parser.parse_args().cases
    peers = [name for name in PEERS if find_spec(name)]
    print(f"dim  model       points  missing and extra  found  refused  wrong  regions     time  {'  '.join(peers)}")
    for dim in (2, 3):
        for model in ("rigid", "similarity"):
            for count, lost in CELLS:
                usable = [name for name in peers if model == "rigid" and (dim == 3 or name == "pycpd")]
                others = "  ".join(f"{name} {peer(name, dim, count, lost, cases)}" for name in usable)
                print(f"{dim:3}  {model:10} {count:7} {lost:18.0%} {ours(dim, model, count, lost, cases)}  {others}",
                      flush=True)  # fmt: skip
    print("\nsets without anything in common that are claimed to match")
    for dim in (2, 3):
        for model in ("rigid", "similarity"):
            for count in (12, 40):
                hits = claimed(dim, model, count, 5 * cases)
                print(f"{dim:3}  {model:10} {count:7} {hits:6} of {5 * cases}", flush=True)


if __name__ == "__main__":
    main()
