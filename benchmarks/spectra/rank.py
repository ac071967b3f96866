"""Count the components of maps that were made with a known number of them.

    python benchmarks/spectra/rank.py [--maps 200]

Maps of 16 x 16 pixels and 60 channels with 2 to 8 components. The dose of each is set so that the weakest component,
without noise, has a singular value of so many times the limit below which no method tells it from noise: sigma
(pixels channels)^(1/4) with sigma^2 = 1 / counts of the map, for equal noise (Benaych-Georges and Nadakuditi 2012).
Poor is 1.6 times the limit, which is a few counts a pixel for two components; rich is 12 times, hundreds to thousands.
The line for 1.2 shows what happens at the limit and is not in the total.
"""

import argparse
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import fusion
import spectra
from fusion import Axis

Array = NDArray[Any]
SIZE, CHANNELS = 16, 60
STRENGTHS = (1.6, 2.0, 3.0, 6.0, 12.0)


class Scene(NamedTuple):
    """A map of counts, its number of components, and its counts per pixel."""

    ds: xr.Dataset
    components: int
    dose: float


def scene(seed: int, strength: float) -> Scene:
    """Return a map whose weakest component is `strength` times as strong as the limit of detection."""
    components = 2 + seed % 7
    rng = np.random.default_rng(seed)
    pure = rng.dirichlet(np.full(CHANNELS, 0.2), components)
    rates = rng.dirichlet(np.full(components, 0.4), SIZE**2) @ pure
    weighted = rates / np.sqrt(rates.sum(axis=1))[:, None] / np.sqrt(rates.sum(axis=0))
    weakest = np.linalg.svd(weighted, compute_uv=False)[components - 1]
    dose = (strength * (SIZE**2 * CHANNELS) ** 0.25 / weakest) ** 2 / rates.sum()
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    counts = rng.poisson(dose * rates).reshape(SIZE, SIZE, CHANNELS)
    ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    return Scene(ds, components, dose)


def row(seeds: range, strength: float) -> Array:
    """Print how often the number is right, and return it: right, too few, too many."""
    maps = [scene(seed, strength) for seed in seeds]
    found = np.array([int(spectra.count_components(one.ds)["components"]) for one in maps])
    put_in, doses = np.array([one.components for one in maps]), np.array([one.dose for one in maps])
    judged = np.array([(found == put_in).mean(), (found < put_in).mean(), (found > put_in).mean()])
    right, few, many = 100 * judged
    print(f"{strength:6.1f} x limit {doses.min():8.1f} to {doses.max():8.1f} counts a pixel: right {right:5.1f} %, "
          f"too few {few:5.1f} %, too many {many:5.1f} %", flush=True)  # fmt: skip
    return judged


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Count the components of maps with a known number of them.")
    parser.add_argument("--maps", type=int, default=200)
    each = max(parser.parse_args().maps // len(STRENGTHS), 1)
    rows = [row(range(i * each, (i + 1) * each), strength) for i, strength in enumerate(STRENGTHS)]
    print(f"right in {100 * np.mean(rows, axis=0)[0]:.1f} % of {each * len(STRENGTHS)} maps")
    row(range(each), 1.2)


if __name__ == "__main__":
    main()
