"""Show how often 95 % intervals hold the truth, on maps whose components are determined.

    python benchmarks/intervals.py [--maps 200] [--draws 0]

Maps of 24 x 24 pixels and 64 channels with 3 endmembers, Poisson counts from 30 to 5000 a pixel. Each endmember has two
lines and nothing between them, and somewhere each component is absent: for every pair of components there are pixels
without the one and channels without the other, so that the non-negative factors are determined (Donoho and Stodden
2003). The intervals are abundance +- 1.96 abundance_stderr, cut off at zero; at the truth of zero that holds at least
97.5 % by itself, which is why absent components are a column of their own.

blind: `spectra.decompose`, endmembers and abundances from the map. known: `spectra.unmix` with the true endmembers.
With --draws also `spectra.bootstrap` of that many draws. The last table is what no error bar knows of: the same with a
background common to all endmembers, where nothing says how much of it belongs to which.
"""

import argparse
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
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    counts = (tuple(axes), rng.poisson(amount @ pure), {"units": "count"})
    ds = fusion.dataset({"counts": counts}, axes, name="map", cell_methods="sum")
    return Scene(ds, amount, xr.DataArray(pure, {"energy": ds["energy"]}, ("component", "energy")))


def blind(truth: Scene, draws: int = 0) -> tuple[Array, Array]:
    """Return which abundances and which endmember values of a decomposition lie in their intervals."""
    found = spectra.decompose(truth.ds, ENDMEMBERS)
    found = spectra.bootstrap(found, draws=draws) if draws else found
    order = linear_sum_assignment(-(truth.endmember.values @ found["endmember"].values.T))[1]
    found = found.isel(component=order)
    return covered(found, "abundance", truth.abundance), covered(found, "endmember", truth.endmember.values)


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


def show(name: str, values: Array) -> None:
    """Print a line of the table in per cent."""
    absent, *blind, known, present = 100 * values
    first = "".join(f"{value:{width}.1f}" for value, width in zip(blind, (12, 9, 8, 12), strict=True))
    print(f"{name}{absent:8.1f} |{first} |{known:12.1f}{present:9.1f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Show how often 95 % intervals hold the truth.")
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--draws", type=int, default=0, help="draws of the bootstrap, for a tenth of the maps")
    options = parser.parse_args()
    table("propagated errors", options.maps)
    if options.draws:
        table(f"bootstrap of {options.draws} draws", options.maps // 10, draws=options.draws)
    table("not determined: a background common to all", options.maps // 10, background=0.3)


if __name__ == "__main__":
    main()
