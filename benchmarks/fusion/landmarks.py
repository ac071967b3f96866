"""Register landmarks with known truth: whether the intervals hold it, and whether wrong sets are named.

    python benchmarks/fusion/landmarks.py [--cases 1000] [--models rigid ...]

Each case has 3 to 30 landmarks in a cube (or square) of 100 um, a tilt of 0 to 90 degrees about a random axis and a
target within the cube. Errors: of both sides, unequal by landmark and axis, 1 % of the extent and three times as large
along the z of the moving side ("given"); the same at 5 %; or equal, 1 %, and estimated from the residuals. Printed for
each model are the share of 95 % intervals along an axis that hold the truth, the share of 95 % regions, the error
predicted over that observed (root mean square of the ratios; estimated sigmas as Student's t), how often a right set is
accused of wrong pairs, and how often it is refused because its landmarks leave a line or plane by no more than their
error. Then, for 8 to 16 landmarks, how often each wrong set is refused. Landmarks on a line determine a turn in the
plane: there they are no wrong set.
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
OPEN = "line or plane"
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
    """Return interval, region, square of observed over predicted error, accused and open, a row for each case."""
    rows = []
    for seed in range(cases):
        rng = np.random.default_rng([MODELS.index(model), dim, ERRORS.index(errors), seed])
        one = case(rng, model, dim, errors, int(rng.integers(fewest(model, dim), 31)))
        reason = refusal(one.moving, one.fixed, model, one.sigmas)
        refused = [bool(reason) and OPEN not in reason, OPEN in reason]
        try:
            result = fusion.register_landmarks(one.moving, one.fixed, model=model, outliers="keep", **one.sigmas)
        except fusion.RegistrationError:
            rows.append([np.nan] * 3 + refused)
            continue
        truth = one.truth(one.target)
        miss = (result.transform(one.target) - truth)[0, 3 - dim :]
        inside = np.abs(miss) <= result.interval(one.target).values[0, 3 - dim :]
        region = result.holds(one.target, truth)[0]
        # the variance of Student's t is dof / (dof - 2) of that of the normal distribution
        heavy = 1.0 - 2.0 / result.dof if result.dof > 2 else np.nan
        square = (miss**2).sum() / float(result.tre(one.target)[0]) ** 2 * heavy
        rows.append([inside.mean(), region, square, *refused])
    return np.array(rows, dtype=float)


def refusal(moving: Array, fixed: Array, model: Model, sigmas: dict[str, Array]) -> str:
    """Return why a set is refused; empty if it is not."""
    try:
        fusion.register_landmarks(moving, fixed, model=model, **sigmas)
    except fusion.RegistrationError as error:
        return str(error)
    return ""


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


def on_a_line(one: Case, rng: np.random.Generator) -> Case:
    """Return landmarks of a line, measured with the errors of the case: they lie off it by these alone."""
    dim, shape = one.moving.shape[1], (len(one.moving), 3)
    along = np.pad(rng.normal(size=dim), (3 - dim, 0))
    exact = rng.uniform(-0.5, 0.5, (len(one.moving), 1)) * EXTENT * along / np.linalg.norm(along)
    size = np.full((len(one.moving), dim), 0.01 * EXTENT / np.sqrt(2))
    sigmas = one.sigmas or {"sigma_moving": size, "sigma_fixed": size}
    moving, fixed = (
        (points + rng.normal(size=shape) * np.pad(sigmas[name], ((0, 0), (3 - dim, 0))))[:, 3 - dim :]
        for name, points in (("sigma_moving", exact), ("sigma_fixed", one.truth(exact)))
    )
    return one._replace(moving=moving, fixed=fixed)


def named(model: Model, dim: int, kind: str, errors: str, cases: int) -> float:
    """Return the share of wrong sets that are refused."""
    hits = []
    for seed in range(cases):
        rng = np.random.default_rng([7, MODELS.index(model), dim, seed])
        one = case(rng, model, dim, errors, int(rng.integers(8, 17)))
        if kind == "on a line":
            one = on_a_line(one, rng)
            fixed = one.fixed
        else:
            fixed = WRONG[kind](one.fixed, rng)
        hits.append(bool(refusal(one.moving, fixed, model, one.sigmas)))
    return float(np.mean(hits))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Register landmarks with known truth.")
    parser.add_argument("--cases", type=int, default=1000, help="for each row")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    options = parser.parse_args()
    print("model        dim  errors       interval  region  predicted/observed  accused   open")
    for model in options.models:
        for errors in ERRORS:
            for dim in (2, 3):
                rows = coverage(model, dim, errors, options.cases)
                inside, region, square, accused, left_open = np.nanmean(rows, axis=0)
                print(f"{model:12} {dim:3}  {errors:11} {inside:9.3f} {region:7.3f} {square**-0.5:19.3f}"
                      f" {accused:8.3f} {left_open:6.3f}", flush=True)  # fmt: skip
    print("\nwrong sets refused")
    cases = max(options.cases // 10, 1)
    for kind in [*WRONG, "on a line"]:
        shares = [f"{model} {dim}D {errors.split()[0]} {named(model, dim, kind, errors, cases):.3f}"
                  for model in options.models for dim in (2, 3) for errors in ("given 1 %", "estimated")
                  if kind != "on a line" or dim == 3 or model == "affine"]  # fmt: skip
        print(f"{kind:17} {'; '.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
