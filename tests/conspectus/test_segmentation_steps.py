"""A recipe from an image and clicks to classes, fractions, shares and objects, in the report and on the page."""

from pathlib import Path

import numpy as np
import pytest

import fusion
import volumes
from conspectus import cli
from conspectus.errors import RecipeError
from conspectus.recipes import recipe
from tests.makers.segmented import image, judge, painted

RECIPE = """
title = "Cells"
keep = ["fractions", "shares", "objects", "shapes"]

[[step]]
do = "open"
name = "sem"
file = "sem.nc"
wing = "volumes"

[[step]]
do = "open"
name = "painted"
file = "painted.nc"
wing = "volumes"

[[step]]
do = "open"
name = "judged"
file = "judged.nc"
wing = "volumes"

[[step]]
do = "open"
name = "map"
file = "map.nc"
wing = "volumes"

[[step]]
do = "segment"
of = "sem"
annotation = "painted"
name = "fused"
trees = 20
smooth = "5 nm"

[[step]]
do = "phase_fraction"
of = "fused"
judged = "judged"

[[step]]
do = "partial_volume"
of = "fused"
onto = "map"
judged = "judged"

[[step]]
do = "instances"
of = "fused"
label = "cell"
smallest = 20
border_error = "5 nm"
"""
STEPS = {"y": 0.01, "x": 0.01}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two bright disks in noise, painted in part, with sixty judged points and a map of coarse pixels."""
    y, x = np.mgrid[:60, :80]
    cells = (np.hypot(y - 30, x - 20) < 10) | (np.hypot(y - 25, x - 58) < 12)
    sem = image(cells + np.random.default_rng(0).normal(0, 0.3, cells.shape), steps=STEPS, frame="stage")
    marks = np.zeros(cells.shape, int)
    marks[30, 15:25] = marks[25, 50:66] = 2
    marks[5:50, 39] = marks[3, 5:70] = 1
    coarse = {"y": fusion.Axis("um", 0.06, offset=0.125), "x": fusion.Axis("um", 0.08, offset=0.135)}
    own = fusion.dataset(
        {"map": (("y", "x"), np.ones((10, 10)))}, coarse, name="map", cell_methods="mean", frame="stage"
    )
    flags = painted(marks, steps=STEPS, frame="stage")
    points = volumes.random_points(flags, 60)
    for name, ds in {"sem": sem, "painted": flags, "judged": judge(points, cells, sem), "map": own}.items():
        fusion.save(ds, tmp_path / f"{name}.nc")
    text = RECIPE.replace('file = "', f'file = "{tmp_path.as_posix()}/')  # a replay finds them wherever it is
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_recipe_goes_from_clicks_to_fractions_and_objects(folder: Path) -> None:
    out = folder / "out"
    assert cli.main(["run", str(folder / "recipe.toml"), "--out", str(out)]) == 0
    tree = fusion.load(out / "specimen.nc")
    fractions = tree["fractions"].to_dataset().sel(component="cell")
    truth = np.pi * (10**2 + 12**2) / (60 * 80)
    assert float(fractions["low"]) < truth < float(fractions["high"])
    assert tree["shapes"].sizes["point"] == 2
    shares = tree["shares"].to_dataset()
    assert np.isfinite(shares["fraction_stderr"]).all()
    assert float(shares["fraction"].sel(component="cell").mean()) == pytest.approx(truth, abs=0.05)
    report = (out / "report.html").read_text(encoding="utf-8")
    for text in ("fraction of cell", "objects of cell", "median diameter of cell", "Classes of sem"):
        assert text in report
    fused = tree["fused"].to_dataset()
    assert {"image", "label", "probability"} <= set(fused.data_vars)
    assert cli.main(["replay", str(out / "specimen.nc")]) == 0


def test_segment_needs_one_source(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('title = "t"\n[[step]]\ndo = "segment"\nof = "a"\n', encoding="utf-8")
    with pytest.raises(RecipeError, match="give either an annotation"):
        recipe.read(path)
