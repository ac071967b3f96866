"""Show how often the errors of `spectra.fit_lines` hold where the weights of lines are off by their stated error.

    python benchmarks/spectra/line_weights.py [--draws 200] [--counts 20000]

Five compositions whose lines overlap. In each draw every line of a shell but the strongest has a weight that is off by
a normal deviate of its `weight_stderr`, the counts are those of Poisson, and a continuum falls as Kramers' law says.
The intervals are amount +- 1.96 standard errors. Beside them stands what those of counting alone would hold. At 20 000
counts and 400 draws the intervals of MoS2 hold 94.2 %, of steel 93.8 %, of barium titanate 95.0 %, of galena 94.3 %; of
ceria on zirconia, at 150 draws, 95.1 %.
"""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fusion
import spectra
from fusion import Axis
from spectra.lines.xrays import channel_edges, family, profile

Array = NDArray[Any]
ENERGY = 0.01 * np.arange(30, 1500)
RESOLUTION, BEAM = 130.0, 20.0
COMPOSITIONS: dict[str, dict[str, float]] = {
    "MoS2": {"Mo_L": 0.6, "S_K": 0.4},
    "steel": {"Cr_K": 0.2, "Mn_K": 0.05, "Fe_K": 0.55, "Ni_K": 0.2},
    "barium titanate": {"Ba_L": 0.6, "Ti_K": 0.4},
    "galena": {"Pb_M": 0.5, "S_K": 0.3, "Zn_K": 0.2},
    "ceria on zirconia": {"Ce_L": 0.4, "Zr_L": 0.4, "P_K": 0.2},
}


def spectrum(shares: dict[str, float], counts: float, rng: np.random.Generator) -> tuple[Array, dict[str, float]]:
    """Return counts in channels, and the true counts of the strongest line of each shell."""
    edges = channel_edges(ENERGY)
    under = np.maximum(BEAM - ENERGY, 0.0) / ENERGY * np.exp(-0.8 / ENERGY**1.5)
    total, truth = 0.3 * counts * under / under.sum(), {}
    for shell, share in shares.items():
        lines = [line for line in family(*shell.split("_")) if line.energy < BEAM]
        strongest = 0.7 * counts * share / sum(line.weight for line in lines)
        truth[lines[0].name] = strongest
        for line in lines:
            weight = max(line.weight + line.weight_stderr * rng.standard_normal(), 0.0)
            total = total + strongest * weight * profile(line, edges, RESOLUTION)
    return rng.poisson(total), truth


def held(name: str, draws: int, counts: float) -> list[tuple[str, float, float]]:
    """Return for each shell the share of the draws whose interval holds the truth, with and without errors of weights.

    The other shells of an element, on which nothing is known, are fitted too if the axis holds them.
    """
    hits: dict[str, list[tuple[bool, bool]]] = {}
    for draw in range(draws):
        values, truth = spectrum(COMPOSITIONS[name], counts, np.random.default_rng(draw))
        axes = {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01, float(ENERGY[0]))}
        ds = fusion.dataset({"counts": (("x", "energy"), values[None])}, axes, name=name, cell_methods="sum")
        elements = [shell.partition("_")[0] for shell in COMPOSITIONS[name]]
        fit = spectra.fit_lines(ds, elements, resolution=RESOLUTION, beam_energy=BEAM, nonnegative=False)
        for line, true in truth.items():
            off = abs(float(fit[line][0]) - true)
            error = float(fit[f"{line}_stderr"][0])
            hits.setdefault(line, []).append((off < 1.96 * error, off < 1.96 * np.sqrt(max(true, 1.0))))
    return [(line, *map(float, np.mean(pairs, axis=0))) for line, pairs in hits.items()]


def main() -> None:
    """Print a row for each shell of each composition, and the mean of each composition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--counts", type=float, default=20000.0)
    options = parser.parse_args()
    print(f"{'composition':20}{'line':>8}{'held':>8}{'without':>9}")
    for name in COMPOSITIONS:
        rows = held(name, options.draws, options.counts)
        for line, with_weights, without in rows:
            print(f"{name:20}{line:>8}{with_weights:8.1%}{without:9.1%}")
        print(f"{name:20}{'mean':>8}{np.mean([row[1] for row in rows]):8.1%}{np.mean([row[2] for row in rows]):9.1%}")


if __name__ == "__main__":
    main()
