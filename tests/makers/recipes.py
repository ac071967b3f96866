"""A small map in a file, and a recipe for it that takes a second."""

from pathlib import Path

import numpy as np

import fusion

RECIPE = """
title = "Two phases"

[[step]]
do = "open"
name = "map"
file = "map.nc"
wing = "spectra"

[[step]]
do = "apply"
function = "spectra.smooth"
of = "map"
name = "smoothed"
options = { sigma = 0.2 }

[[step]]
do = "decompose"
of = "smoothed"
components = 2

[[step]]
do = "apply"
function = "spectra.unmix"
of = "map"
name = "again"
datasets = { endmember = "components/endmember" }
options = { weighting = "poisson" }

[[step]]
do = "fuse"
"""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """Write the map and the recipe to a folder; return the path of the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    energy = np.linspace(1.0, 5.0, 40)
    lines = np.stack([np.exp(-(((energy - line) / 0.3) ** 2)) for line in (2.0, 4.0)])
    shares = rng.uniform(5.0, 50.0, size=(6, 7, 2))
    counts = rng.poisson(shares @ lines).astype(np.uint16)
    axes = {"y": fusion.Axis("um", 0.5), "x": fusion.Axis("um", 0.5), "energy": fusion.Axis("keV", values=energy)}
    ds = fusion.dataset({"counts": (("y", "x", "energy"), counts)}, axes, name="map", cell_methods="sum")
    if not (folder / "map.nc").exists():
        fusion.save(ds, folder / "map.nc")
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path
