"""Register landmarks of bent specimens: whether the intervals of a warp hold the truth, and what names wrong sets.

    python benchmarks/fusion/warps.py [--cases 1000]

Each case has 8 to 30 landmarks in a square or cube of 100 um, a linear map near a rotation, and a bend of 5 um (root
mean square): none, a polynomial of the second degree, a sine of 120 um, or a random field that is smooth over some
35 um. Errors of 1 um, unequal by a factor of four by landmark and axis ("given"), or equal and estimated. Printed for
five places within the hull of the landmarks: the share of 95 % intervals along an axis that hold the truth, of 95 %
regions, the error predicted over that observed (root mean square of the ratios), the median error, and the share of
right sets that are refused; the same intervals outside the hull, which are stated on demand only; then how often wrong
sets are refused.
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

import fusion

Array = NDArray[Any]
Map = Callable[[Array], Array]
BENDS = ("none", "polynomial", "sine", "random field")
ERRORS = ("given", "estimated")
BEND, SIGMA, PLACES = 5.0, 1.0, 5


class Case(NamedTuple):
    """Landmarks as they were measured, their errors, the true map and places to judge."""

    moving: Array
    fixed: Array
    sigma: Array | None
    truth: Map
    places: Array


def bent(rng: np.random.Generator, kind: str, dim: int) -> Map:
    """Return a map of space: a linear one and a bend."""
    linear = np.eye(dim) + 0.2 * rng.normal(size=(dim, dim))
    if kind == "none":
        return lambda p: np.asarray(p @ linear.T)
    if kind == "polynomial":
        square = rng.normal(size=(dim, dim, dim))
        grid = rng.uniform(-50.0, 50.0, (400, dim))
        bend = np.einsum("aij,ni,nj->na", square, grid, grid)
        flat = np.column_stack([grid, np.ones(400)])
        size = (bend - flat @ np.linalg.lstsq(flat, bend, rcond=None)[0]).std()
        return lambda p: np.asarray(p @ linear.T + BEND / size * np.einsum("aij,ni,nj->na", square, p, p))
    count, length = (1, 120.0 / (2.0 * np.pi)) if kind == "sine" else (60, 35.0)
    waves = rng.normal(size=(dim, count, dim))
    if kind == "sine":
        waves /= np.linalg.norm(waves, axis=2, keepdims=True)
    phases, heights = rng.uniform(0.0, 2 * np.pi, (dim, count)), rng.normal(size=(dim, count))
    heights = np.sign(heights) if kind == "sine" else heights
    size = BEND * np.sqrt(2.0 / count)

    def map_(p: Array) -> Array:
        turned = np.einsum("nj,akj->nak", p, waves / length) + phases
        return np.asarray(p @ linear.T + size * (np.cos(turned) * heights).sum(axis=2))

    return map_


def case(kind: str, dim: int, errors: str, seed: int) -> Case:
    """Return a case."""
    rng = np.random.default_rng([BENDS.index(kind), dim, ERRORS.index(errors), seed])
    count = int(rng.integers(8 if dim == 2 else 10, 31))
    truth, moving = bent(rng, kind, dim), rng.uniform(-50.0, 50.0, (count, dim))
    sigma = SIGMA * (rng.uniform(0.5, 2.0, (count, dim)) if errors == "given" else np.ones((count, dim)))
    fixed = truth(moving) + rng.normal(size=moving.shape) * sigma
    places = rng.uniform(-50.0, 50.0, (400, dim))
    within = Delaunay(moving).find_simplex(places) >= 0
    places = np.concatenate([places[within][:PLACES], places[~within][:PLACES]])
    return Case(moving, fixed, sigma if errors == "given" else None, truth, places)


def coverage(kind: str, dim: int, errors: str, cases: int) -> dict[str, float]:
    """Return the figures of one row."""
    inside, outside, regions, ratios, misses, refused = [], [], [], [], [], []
    for seed in range(cases):
        one = case(kind, dim, errors, seed)
        refused.append(_refused(one.moving, one.fixed, one.sigma))
        try:
            result = fusion.register_landmarks(one.moving, one.fixed, model="warp", sigma=one.sigma, outliers="keep")
        except fusion.RegistrationError:
            continue
        raised = np.pad(one.places, ((0, 0), (3 - dim, 0)))
        miss = result.transform(raised)[:, 3 - dim :] - one.truth(one.places)
        spread = result.transform.covariance_at(raised, outside=True)[:, 3 - dim :, 3 - dim :]
        error = np.sqrt(np.diagonal(spread, axis1=1, axis2=2))
        held = np.abs(miss) <= 1.96 * result.transform.widening * error
        within = np.arange(len(raised)) < np.isfinite(result.tre(raised).values).sum()
        regions += result.holds(raised, np.pad(one.truth(one.places), ((0, 0), (3 - dim, 0))))[within].tolist()
        inside += held[within].ravel().tolist()
        outside += held[~within].ravel().tolist()
        # the variance of Student's t is dof / (dof - 2) of that of the normal distribution
        heavy = 1.0 - 2.0 / result.dof
        ratios += ((miss / error)[within] ** 2 * heavy).ravel().tolist()
        misses += np.linalg.norm(miss[within], axis=1).tolist()
    return {
        "interval": np.mean(inside), "region": np.mean(regions), "ratio": np.mean(ratios) ** -0.5,
        "error": np.median(misses), "refused": np.mean(refused), "outside": np.mean(outside),
    }  # fmt: skip


def _refused(moving: Array, fixed: Array, sigma: Array | None) -> bool:
    try:
        fusion.register_landmarks(moving, fixed, model="warp", sigma=sigma)
    except fusion.RegistrationError:
        return True
    return False


def exchanged(fixed: Array) -> Array:
    """Return the landmarks with the two that lie farthest apart exchanged."""
    apart = np.linalg.norm(fixed[:, None] - fixed, axis=2)
    first, second = np.unravel_index(apart.argmax(), apart.shape)
    order = np.arange(len(fixed))
    order[[first, second]] = second, first
    return fixed[order]


WRONG: dict[str, Callable[[Array], Array]] = {
    "two exchanged": exchanged,
    "one 30 % off": lambda fixed: fixed + 30.0 * np.eye(len(fixed))[:, :1] * np.eye(fixed.shape[1])[:1],
    "other order": lambda fixed: np.roll(fixed, 1, axis=0),
    "mirrored": lambda fixed: fixed * np.array([1.0] * (fixed.shape[1] - 1) + [-1.0]),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Register landmarks of bent specimens.")
    parser.add_argument("--cases", type=int, default=1000)
    cases = parser.parse_args().cases
    each = max(cases // 16, 1)
    print("dim  errors     bend           interval  region  predicted/observed  median um  refused | outside the hull")
    total: list[dict[str, float]] = []
    for dim in (2, 3):
        for errors in ERRORS:
            for kind in BENDS:
                row = coverage(kind, dim, errors, each)
                total.append(row)
                print(f"{dim:3}  {errors:10} {kind:14} {row['interval']:8.3f} {row['region']:7.3f} {row['ratio']:19.3f}"
                      f" {row['error']:10.2f} {row['refused']:8.3f} | {row['outside']:.3f}", flush=True)  # fmt: skip
    means = {name: float(np.mean([row[name] for row in total])) for name in total[0]}
    print(f"all of them: intervals {means['interval']:.3f}, regions {means['region']:.3f}")
    print("\nwrong sets refused, of those that bend as a sine")
    for name, change in WRONG.items():
        shares = []
        for dim in (2, 3):
            for errors in ERRORS:
                sets = [case("sine", dim, errors, seed) for seed in range(each)]
                hits = [_refused(one.moving, change(one.fixed), one.sigma) for one in sets]
                shares.append(f"{dim}D {errors} {np.mean(hits):.2f}")
        print(f"{name:14} {'; '.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
