"""Show how often 95 % intervals hold the truth, on maps whose components are determined.

    python benchmarks/spectra/intervals.py [--maps 200] [--first 0] [--draws 0] [--small]

Maps of 24 x 24 pixels and 64 channels with 3 endmembers, Poisson counts from 30 to 5000 a pixel. Each endmember has two
lines and nothing between them, and somewhere each component is absent: for every pair of components there are pixels
without the one and channels without the other, so that the non-negative factors are determined (Donoho and Stodden
2003). The intervals are abundance +- 1.96 abundance_stderr, cut off at zero; at the truth of zero that holds at least
97.5 % by itself, which is why absent components are a column of their own.

blind: `spectra.decompose`, endmembers and abundances from the map. known: `spectra.unmix` with the true endmembers.
With --draws also `spectra.bootstrap` of that many draws. The last table has what measured maps have: 3 to 7 endmembers
of three lines each that overlap as they fall, a continuum of 0 to 30 % under all of them, 100 to 5000 counts a pixel.
There the bounds leave the components a range, and what is free without any limit has an infinite error. Coverage is
that of finite errors; the share of infinite ones stands beside it. --small runs 10 maps of each.

With --maps 200 --first 50000 the last table has 94.4 % of the abundances, 95.0 % of the endmembers and, where these are
known, 96.8 % of the abundances in their intervals; 0.1 % of the errors are infinite. Its rows lie between 93.6 and
97.0 %.
"""

import argparse
import sys
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

import fusion
import spectra
from fusion import Axis

Array = NDArray[Any]
SIZE, CHANNELS, ENDMEMBERS = 24, 64, 3
DOSES = (30.0, 100.0, 300.0, 1000.0, 5000.0)
LEVEL = 1.96


class Scene(NamedTuple):
    """A map of counts, and the abundances (y, x, component) and endmembers (component, energy) behind it."""

    ds: xr.Dataset
    abundance: Array
    endmember: xr.DataArray


def scene(seed: int, dose: float, background: float = 0.0) -> Scene:
    """Return a map with phases that pass into each other, about a quarter of the abundances zero."""
    rng = np.random.default_rng(seed)
    centres = rng.permutation(np.linspace(4, CHANNELS - 5, 2 * ENDMEMBERS)).reshape(ENDMEMBERS, 2, 1)
    widths, heights = np.array([1.8, 2.2])[:, None], np.array([1.0, 0.6])[:, None]
    pure = (heights * np.exp(-(((np.arange(CHANNELS) - centres) / widths) ** 2) / 2)).sum(axis=1)
    pure[pure < 1e-3] = 0.0
    pure = pure / pure.sum(axis=1, keepdims=True) + background / CHANNELS
    pure /= pure.sum(axis=1, keepdims=True)
    field = np.stack([gaussian_filter(rng.standard_normal((SIZE, SIZE)), 3) for _ in range(ENDMEMBERS)], axis=-1)
    share = np.clip(field / field.std() + 0.6, 0.0, None)
    share += (share.sum(axis=-1, keepdims=True) == 0) * np.eye(ENDMEMBERS)[field.argmax(axis=-1)]
    amount = dose * share / share.sum(axis=-1, keepdims=True)
    return labelled(rng, amount, pure)


def hard_scene(seed: int) -> tuple[Scene, float, float]:
    """Return a map with overlapping lines on a common continuum, its counts a pixel and the share of the continuum."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 8))
    dose, continuum = float(np.exp(rng.uniform(np.log(100.0), np.log(5000.0)))), float(rng.uniform(0.0, 0.3))
    channel = np.arange(96)
    centres = rng.uniform(6, channel.size - 6, (count, 3, 1))
    heights = rng.uniform(0.3, 1.0, centres.shape)
    pure = (heights * np.exp(-(((channel - centres) / (1.8 + 0.01 * centres)) ** 2) / 2)).sum(axis=1)
    pure[pure < 1e-3] = 0.0
    bremsstrahlung = np.exp(-channel / 40.0) * (1.0 - np.exp(-channel / 6.0)) + 0.02
    pure = (1.0 - continuum) * pure / pure.sum(
        axis=1, keepdims=True
    ) + continuum * bremsstrahlung / bremsstrahlung.sum()
    field = np.stack([gaussian_filter(rng.standard_normal((SIZE, SIZE)), 2) for _ in range(count)], axis=-1)
    share = np.clip(field / field.std() + 0.4, 0.0, None)
    share += (share.sum(axis=-1, keepdims=True) == 0) * np.eye(count)[field.argmax(axis=-1)]
    amount = dose * share / share.sum(axis=-1, keepdims=True)
    return labelled(rng, amount, pure), dose, continuum


def labelled(rng: np.random.Generator, amount: Array, pure: Array) -> Scene:
    """Return counts drawn from abundances and endmembers, with these."""
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    counts = (tuple(axes), rng.poisson(amount @ pure), {"units": "count"})
    ds = fusion.dataset({"counts": counts}, axes, name="map", cell_methods="sum")
    return Scene(ds, amount, xr.DataArray(pure, {"energy": ds["energy"]}, ("component", "energy")))


def blind(truth: Scene, draws: int = 0) -> tuple[Array, Array]:
    """Return which abundances and which endmember values of a decomposition lie in their intervals."""
    found = matched(truth, draws)
    return covered(found, "abundance", truth.abundance), covered(found, "endmember", truth.endmember.values)


def matched(truth: Scene, draws: int = 0) -> xr.Dataset:
    """Return a decomposition with its components in the order of the truth."""
    found = spectra.decompose(truth.ds, truth.endmember.sizes["component"])
    found = spectra.bootstrap(found, draws=draws) if draws else found
    lengths = (np.linalg.norm(rows, axis=1) for rows in (truth.endmember.values, found["endmember"].values))
    cosines = truth.endmember.values @ found["endmember"].values.T / np.outer(*lengths)
    return found.isel(component=linear_sum_assignment(-cosines)[1])


def known(truth: Scene) -> Array:
    """Return which abundances lie in their intervals where the endmembers are given."""
    return covered(spectra.unmix(truth.ds, truth.endmember), "abundance", truth.abundance)


def covered(found: xr.Dataset, name: str, truth: Array) -> Array:
    """Return where the truth lies within 1.96 standard errors."""
    off = np.abs(found[name].values - truth)
    return np.asarray(off <= LEVEL * found[f"{name}_stderr"].values)


def row(seeds: range, dose: float, background: float = 0.0, draws: int = 0) -> Array:
    """Return the mean coverages over maps: zero share, blind (all, present, absent, endmembers), known (the same)."""
    rows = []
    for seed in seeds:
        truth = scene(seed, dose, background)
        present, lines = truth.abundance > 0, truth.endmember.values > 0
        inside, spectral = blind(truth, draws)
        given = known(truth)
        parts = [inside, inside[present], inside[~present], spectral[lines], given, given[present]]
        rows.append([1 - present.mean(), *(part.mean() for part in parts)])
    return np.asarray(np.mean(rows, axis=0))


def table(title: str, maps: int, background: float = 0.0, draws: int = 0) -> Array:
    """Print one line for each dose and their mean."""
    each = max(maps // len(DOSES), 1)
    print(f"{title}, {each * len(DOSES)} maps\n{'counts':>8}{'absent':>8} | blind{'all':>7}{'present':>9}{'absent':>8}"
          f"{'endmembers':>12} | known{'all':>7}{'present':>9}")  # fmt: skip
    rows = []
    for index, dose in enumerate(DOSES):
        rows.append(row(range(index * each, (index + 1) * each), dose, background, draws))
        show(f"{dose:8.0f}", rows[-1])
    show(f"{'mean':>8}", np.mean(rows, axis=0))
    return np.array(rows)


def hard_coverage(seed: int) -> tuple[Array, Array]:
    """Return counts and continuum of a hard map, and its coverages and infinite shares."""
    truth, dose, continuum = hard_scene(seed)
    found = matched(truth)
    values = []
    for name, expected in (("abundance", truth.abundance), ("endmember", truth.endmember.values)):
        finite = np.isfinite(found[f"{name}_stderr"].values)
        inside = covered(found, name, expected)[finite]
        values += [inside.mean() if inside.size else np.nan, 1.0 - finite.mean()]
    return np.array([dose, continuum]), np.array([values[0], values[2], known(truth).mean(), values[1], values[3]])


def hard_table(maps: int, first: int = 0) -> Array:
    """Print the coverages of hard maps by counts and by continuum; return those of each map."""
    rows = [hard_coverage(1000 + first + seed) for seed in range(maps)]
    setting, values = (np.array(part) for part in zip(*rows, strict=True))
    heading = ("abundance", "endmember", "known", "infinite", "of endm.")
    print(f"continuum and overlapping lines, {maps} maps\n{'':>22}" + "".join(f"{name:>11}" for name in heading))
    limits = (("counts", 0, (100.0, 370.0, 1360.0, 5000.0)), ("continuum", 1, (0.0, 0.1, 0.2, 0.3)))
    for name, column, edges in limits:
        for low, high in pairwise(edges):
            inside = (setting[:, column] >= low) & (setting[:, column] < high)
            mean = np.nanmean(values[inside], axis=0) if inside.any() else np.full(values.shape[1], np.nan)
            print(f"{name:>10}{low:6g}-{high:<5g}" + "".join(f"{100 * value:11.1f}" for value in mean))
    print(f"{'all':>22}" + "".join(f"{100 * value:11.1f}" for value in np.nanmean(values, axis=0)))
    return values


def show(name: str, values: Array) -> None:
    """Print a line of the table in per cent."""
    absent, *blind, known, present = 100 * values
    first = "".join(f"{value:{width}.1f}" for value, width in zip(blind, (12, 9, 8, 12), strict=True))
    print(f"{name}{absent:8.1f} |{first} |{known:12.1f}{present:9.1f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Show how often 95 % intervals hold the truth.")
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="added to the seeds of the maps of the last table")
    parser.add_argument("--draws", type=int, default=0, help="draws of the bootstrap, for a tenth of the maps")
    parser.add_argument(
        "--small", action="store_true", help="10 maps of each table, and fail if coverage is not as said"
    )
    options = parser.parse_args()
    options.maps = 10 if options.small else options.maps
    table("propagated errors", options.maps)
    if options.draws:
        table(f"bootstrap of {options.draws} draws", options.maps // 10, draws=options.draws)
    coverage = np.nanmean(hard_table(options.maps, options.first)[:, :3], axis=0)
    if options.small and not ((coverage > 0.9) & (coverage < 0.985)).all():
        sys.exit(f"coverage {coverage} of abundances, endmembers and known spectra")


if __name__ == "__main__":
    main()
