"""Register landmarks with known truth: whether the intervals hold it, and whether wrong sets are named.

    python benchmarks/landmarks.py [--cases 1000]

Each case has 3 to 30 landmarks in a cube (or square) of 100 um, a tilt of 0 to 90 degrees about a random axis and a
target within the cube. Errors: of both sides, unequal by landmark and axis, 1 % of the extent and three times as large
along the z of the moving side ("given"); the same at 5 %; or equal, 1 %, and estimated from the residuals. Printed for
each model are the share of 95 % intervals along an axis that hold the truth, the share of 95 % regions, the error
predicted over that observed (root mean square of the ratios; estimated sigmas as Student's t), how often a right set is
refused, and how often it is refused even under outliers="keep", because its landmarks leave the model open. Then, for 8
to 16 landmarks, how often each wrong set is refused.
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fusion
from fusion.registration.result import Model

Array = NDArray[Any]
EXTENT = 100.0
MODELS: tuple[Model, ...] = ("rigid", "similarity", "affine")
ERRORS = ("given 1 %", "given 5 %", "estimated")


class Case(NamedTuple):
    """Landmarks as they were measured, their standard deviations, the true transform, and a target."""

    moving: Array
    fixed: Array
    sigmas: dict[str, Array]
    truth: fusion.Affine
    target: Array


def case(rng: np.random.Generator, model: Model, dim: int, errors: str, count: int) -> Case:
    """Return a case; `count` landmarks."""
    axis = (1.0, 0.0, 0.0) if dim == 2 else rng.normal(size=3)
    truth = fusion.Affine.translation(*rng.normal(size=3) * 30.0 * [dim == 3, 1, 1])
    truth = truth @ fusion.Affine.rotation(rng.uniform(0.0, 90.0), axis=axis)
    stretch = {"rigid": np.ones(3), "similarity": np.full(3, rng.uniform(0.5, 2.0)), "affine": rng.uniform(0.5, 2.0, 3)}
    truth = truth @ fusion.Affine.scaling(*stretch[model] if dim == 3 else [1.0, *stretch[model][1:]])
    points = rng.uniform(-0.5, 0.5, size=(count + 1, 3)) * EXTENT
    points[:, : 3 - dim] = 0.0
    exact, landed = points[:-1], truth(points[:-1])
    size = EXTENT * (0.05 if errors == "given 5 %" else 0.01)
    if errors == "estimated":
        sigmas = {"sigma_moving": np.zeros((count, 3)), "sigma_fixed": np.full((count, 3), size)}
    else:
        sigmas = {
            name: size / np.sqrt(2) * rng.uniform(0.5, 2.0, (count, 3)) for name in ("sigma_moving", "sigma_fixed")
        }
        sigmas["sigma_moving"][:, 0] *= 3.0
    moving = exact + rng.normal(size=exact.shape) * sigmas["sigma_moving"]
    fixed = landed + rng.normal(size=exact.shape) * sigmas["sigma_fixed"]
    cut = slice(3 - dim, None)
    told = {} if errors == "estimated" else {name: values[:, cut] for name, values in sigmas.items()}
    return Case(moving[:, cut], fixed[:, cut], told, truth, points[-1:])


def fewest(model: Model, dim: int) -> int:
    """Return how many pairs there are at least: one more than determine an affine transform."""
    return dim + 2 if model == "affine" else 3


def coverage(model: Model, dim: int, errors: str, cases: int) -> Array:
    """Return interval, region, square of observed over predicted error, and refusals, a row for each case."""
    rows = []
    for seed in range(cases):
        rng = np.random.default_rng([MODELS.index(model), dim, ERRORS.index(errors), seed])
        one = case(rng, model, dim, errors, int(rng.integers(fewest(model, dim), 31)))
        refused = _refused(one.moving, one.fixed, model, one.sigmas)
        try:
            result = fusion.register_landmarks(one.moving, one.fixed, model=model, outliers="keep", **one.sigmas)
        except fusion.RegistrationError:
            rows.append([np.nan] * 3 + [refused])
            continue
        truth = one.truth(one.target)
        miss = (result.transform(one.target) - truth)[0, 3 - dim :]
        inside = np.abs(miss) <= result.interval(one.target).values[0, 3 - dim :]
        region = result.holds(one.target, truth)[0]
        # the variance of Student's t is dof / (dof - 2) of that of the normal distribution
        heavy = 1.0 - 2.0 / result.dof if result.dof > 2 else np.nan
        square = (miss**2).sum() / float(result.tre(one.target)[0]) ** 2 * heavy
        rows.append([inside.mean(), region, square, refused])
    return np.array(rows, dtype=float)


def _refused(moving: Array, fixed: Array, model: Model, sigmas: dict[str, Array]) -> bool:
    try:
        fusion.register_landmarks(moving, fixed, model=model, **sigmas)
    except fusion.RegistrationError:
        return True
    return False


def _exchanged(fixed: Array, rng: np.random.Generator) -> Array:
    order = np.arange(len(fixed))
    order[[0, 1]] = 1, 0
    return fixed[order]


def _with_copy(fixed: Array, rng: np.random.Generator) -> Array:
    return np.concatenate([fixed[:-1], fixed[:1]])


def _one_off(fixed: Array, rng: np.random.Generator) -> Array:
    return fixed + np.eye(len(fixed))[:, :1] * rng.choice([-0.3, 0.3], fixed.shape[1]) * EXTENT


WRONG: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "two exchanged": _exchanged,
    "one 30 % off": _one_off,
    "duplicated": _with_copy,
    "other order": lambda fixed, rng: np.roll(fixed, 1, axis=0),
    "mirrored": lambda fixed, rng: fixed * np.array([1.0] * (fixed.shape[1] - 1) + [-1.0]),
    "all in one point": lambda fixed, rng: np.repeat(fixed[:1], len(fixed), axis=0),
}


def on_a_line(one: Case) -> Case:
    """Return the case with all landmarks within their error of one line."""
    along = np.zeros(one.moving.shape[1])
    along[-1] = 1.0
    keep = np.outer(along, along)
    exact = one.moving @ keep + 0.002 * one.moving
    return one._replace(
        moving=exact, fixed=one.truth(np.pad(exact, ((0, 0), (3 - exact.shape[1], 0))))[:, -exact.shape[1] :]
    )


def named(model: Model, dim: int, kind: str, errors: str, cases: int) -> float:
    """Return the share of wrong sets that are refused."""
    hits = []
    for seed in range(cases):
        rng = np.random.default_rng([7, MODELS.index(model), dim, seed])
        one = case(rng, model, dim, errors, int(rng.integers(8, 17)))
        if kind == "on a line":
            one = on_a_line(one)
            fixed = one.fixed
        else:
            fixed = WRONG[kind](one.fixed, rng)
        hits.append(_refused(one.moving, fixed, model, one.sigmas))
    return float(np.mean(hits))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Register landmarks with known truth.")
    parser.add_argument("--cases", type=int, default=1000)
    cases = parser.parse_args().cases
    print("model        dim  errors       interval  region  predicted/observed  right set refused  open")
    for model in MODELS:
        for errors in ERRORS:
            for dim in (2, 3):
                rows = coverage(model, dim, errors, max(cases // 2, 1))
                fitted = rows[np.isfinite(rows[:, 0])]
                inside, region, square, refused = np.nanmean(fitted, axis=0)
                print(f"{model:12} {dim:3}  {errors:11} {inside:9.3f} {region:7.3f} {square**-0.5:19.3f}"
                      f" {refused:18.3f} {1 - len(fitted) / len(rows):6.3f}", flush=True)  # fmt: skip
    print("\nwrong sets refused")
    for kind in [*WRONG, "on a line"]:
        shares = [f"{model} {dim}D {errors.split()[0]} {named(model, dim, kind, errors, max(cases // 10, 1)):.2f}"
                  for model in MODELS for dim in (2, 3) for errors in ("given 1 %", "estimated")]  # fmt: skip
        print(f"{kind:17} {'; '.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
