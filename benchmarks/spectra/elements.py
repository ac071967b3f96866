"""Show how often `spectra.find_elements` names what is not there, and misses what is, on maps of known composition.

    python benchmarks/spectra/elements.py [--maps 200] [--files]

Maps of 16 x 16 pixels with 20 to 2000 counts each and two to seven elements at 15 to 30 keV or 200 keV. The generator
shares nothing with the fit but the table of lines: weights of lines are off by their stated errors, the energy scale
by up to 3 eV, the resolution by up to 2 %; half of the maps have escape and sum peaks, half are cropped at one or both
ends. The continuum, 20 to 70 % of the counts, falls as Kramers' law says and is absorbed below 1 keV. K lines of an
element come with L lines, L with M lines, in random but possible ratios.

A major is an element with more than 5 % of the counts on the axis; it is missed if it is not named. A name is false if
the specimen has no such element. With --files also what the measured files hold, as a table.

With --first 70000, maps that no threshold was chosen on, 1.5 % of 892 names are false (1.8 % where the axis is cropped)
and 0.1 % of 687 majors are missed.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import fusion
import spectra
from fusion import Axis
from spectra.lines.xrays import FAMILIES, family, width

Array = NDArray[Any]
LIGHT = "C N O F Na Mg Al Si P S Cl K Ca Ti V Cr Mn Fe Co Ni Cu Zn Ga As"
HEAVY = "Sr Zr Nb Mo Pd Ag Cd In Sn Sb Ba La Ce Ta W Pt Au Pb"
COMMON = f"{LIGHT} {HEAVY}".split()
CROPS = ((0.0, 20.0), (0.25, 5.0), (1.0, 10.0), (2.0, 12.0), (0.3, 8.0))
FILES = (
    ("edx/bcf-edx-ebsd.bcf", {"name": "EDX"}),
    ("edx/P45_the_default_job.bcf", {"name": "EDX"}),
    ("edx/test_TEM.bcf", {"name": "EDX"}),
    ("edx/jeol/Sample/00_View000/View000_0000006.pts", {}),
)


class Phantom(NamedTuple):
    """A map and the share of the counts on its axis that each element has."""

    ds: xr.Dataset
    shares: dict[str, float]
    cropped: bool


def phantom(seed: int) -> Phantom:
    """Return a map of random elements in random amounts."""
    rng = np.random.default_rng(seed)
    beam = float(rng.choice([15.0, 20.0, 30.0, 200.0]))
    resolution = float(rng.choice([125.0, 130.0, 138.0]))
    energy = 0.01 * np.arange(10, 2000)
    names = rng.choice(COMMON, rng.integers(2, 8), replace=False)
    scale = rng.uniform(-0.003, 0.003), resolution * rng.uniform(0.98, 1.02)
    pure = {str(name): rng.uniform(0.03, 1.0) * element(str(name), energy, beam, scale, rng) for name in names}
    lines = np.sum(list(pure.values()), axis=0)
    under = np.maximum(beam - energy, 0.0) / energy * np.exp(-0.6 * (1.0 / np.maximum(energy, 0.1)) ** 1.5)
    under *= lines.sum() / under.sum() * rng.choice([0.25, 0.6, 2.0])
    expected = lines + under
    if rng.random() < 0.5:
        pairs = np.convolve(lines, lines)[10 : 10 + energy.size]
        expected = expected + 0.004 * pairs / lines.sum()
    cropped = rng.random() < 0.5
    low, high = CROPS[rng.integers(1, len(CROPS))] if cropped else CROPS[0]
    inside = (energy >= low) & (energy <= high)
    total = 256.0 * 10.0 ** rng.uniform(np.log10(20.0), np.log10(2000.0))
    counts = rng.multinomial(
        int(total), (expected / expected.sum())[inside] / (expected / expected.sum())[inside].sum()
    )
    shares = {name: float(one[inside].sum() / expected[inside].sum()) for name, one in pure.items()}
    # the fit takes the total spectrum, so that one pixel stands for all 256
    axes = {"x": Axis("um", 1.0), "energy": Axis("keV", values=energy[inside])}
    values = {"counts": (("x", "energy"), counts[None], {"units": "count"})}
    metadata = {"beam_energy": beam}
    ds = fusion.dataset(values, axes, name="phantom", cell_methods="sum", attrs=metadata)
    return Phantom(ds.assign_attrs(resolution=resolution), shares, cropped)


def element(name: str, energy: Array, beam: float, scale: tuple[float, float], rng: np.random.Generator) -> Array:
    """Return the counts of an element, 1 in all, with escape peaks at random."""
    offset, resolution = scale
    total = np.zeros_like(energy)
    for shell in FAMILIES:
        lines = [line for line in family(name, shell) if 0.1 < line.energy < beam / 1.05]
        if not lines:
            continue
        strongest = lines[0].energy
        over = max(beam / strongest - 1.0, 0.0) ** 1.67
        seen = np.exp(-((0.45 / strongest) ** 2)) * min(1.0, (14.0 / strongest) ** 2.5)
        strength = min(over, 4.0) * seen * rng.uniform(0.5, 2.0)
        for line in lines:
            weight = max(line.weight + line.weight_stderr * rng.standard_normal(), 0.0)
            total += strength * weight * gaussian(energy, line.energy + offset, resolution)
            if rng.random() < 0.5 and line.energy > 2.0:
                total += 0.006 * strength * weight * gaussian(energy, line.energy - 1.74 + offset, resolution)
    return total / max(total.sum(), 1e-12)


def gaussian(energy: Array, position: float, resolution: float) -> Array:
    """Return a line at the centres of channels."""
    sigma = float(width(max(position, 0.1), resolution)) / 2.3548
    return np.asarray(np.exp(-0.5 * ((energy - position) / sigma) ** 2) / sigma)


def main() -> None:
    """Print a row for all maps, the cropped and the uncropped ones, and the names that were wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--files", action="store_true")
    given = parser.parse_args()
    rows: list[tuple[bool, int, int, int, int, int]] = []
    start = time.perf_counter()
    for seed in range(given.first, given.first + given.maps):
        made = phantom(seed)
        result = spectra.find_elements(made.ds, resolution=float(made.ds.attrs["resolution"]))
        named = {one.element for one in result}
        majors = {name for name, share in made.shares.items() if share > 0.05}
        over = sum(one.counts for one in result) > float(made.ds["counts"].sum())
        rows.append((made.cropped, len(named), len(named - set(made.shares)), len(majors), len(majors - named), over))
        for one in result:
            if one.element not in made.shares:
                print(f"  map {seed}: not there: {one}")
        for name in sorted(majors - named):
            taken = [one.element for one in result if name in one.alternatives]
            print(f"  map {seed}: missed {name}, {made.shares[name]:.1%} of the counts; alternative to {taken}")
    print(f"{(time.perf_counter() - start) / max(given.maps, 1):.2f} s a map")
    print(f"{'':12}{'names':>8}{'false':>8}{'majors':>8}{'missed':>8}{'over':>6}")
    for label, chosen in (("all", {True, False}), ("uncropped", {False}), ("cropped", {True})):
        names, false, majors, missed, over = np.sum([row[1:] for row in rows if row[0] in chosen] or [[0] * 5], axis=0)
        print(f"{label:12}{names:8}{false / max(names, 1):8.1%}{majors:8}{missed / max(majors, 1):8.1%}{over:6}")
    if given.files:
        of_files()


def of_files() -> None:
    """Print the elements of the measured files: counts, evidence, and whether the file names them."""
    for name, options in FILES:
        ds = spectra.open(Path(os.environ["CONSPECTUS_DATA"]) / name, **options)
        total = float(ds["counts"].sum())
        stated = [str(element) for element in np.atleast_1d(ds.attrs.get("elements", ()))]
        result = spectra.find_elements(ds)
        found = [one.element for one in result]
        print(f"\n{name}: {total:.0f} counts, {ds.attrs['beam_energy']:g} keV")
        missed = set(stated) - set(found)
        print(f"named by the file: {', '.join(stated) or 'none'}; not found: {', '.join(missed) or 'none'}")
        print(f"{'':4}{'share':>7}{'counts':>9}{'error':>7}{'score':>7}  lines, net counts ± error")
        for one in result:
            numbers = f"{one.counts / total:7.1%}{one.counts:9.0f}{one.error:7.0f}{one.score:7.2f}"
            print(f"{one.element:4}{numbers}  {notes(one)}")
        print(f"{'all':4}{sum(one.counts for one in result) / total:7.1%}")


def notes(one: spectra.Element) -> str:
    """Return the lines that stand out by two errors, strongest first, and what else the element could be."""
    lines = sorted((line for line in one.evidence if line.counts > 2.0 * line.error), key=lambda line: -line.counts)
    other = f"; could also be {', '.join(one.alternatives)}" if one.alternatives else ""
    known = "; named by the file" if one.named_by_file else ""
    return ", ".join(f"{line.line} {line.counts:.0f} ± {line.error:.0f}" for line in lines[:4]) + other + known


if __name__ == "__main__":
    main()
