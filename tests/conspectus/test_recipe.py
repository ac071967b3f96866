"""Recipes: what is accepted, and what is said of a recipe that is not."""

from pathlib import Path

import numpy as np
import pytest

import fusion
import spectra
from conspectus.errors import RecipeError
from conspectus.project import Project
from conspectus.recipes import recipe

GOOD = """
title = "t"
[[step]]
do = "phantom"
[[step]]
do = "decompose"
of = "map"
components = 3
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_recipe_is_read(tmp_path: Path) -> None:
    found = recipe.read(written(tmp_path, GOOD))
    assert [step.do for step in found.step] == ["phantom", "decompose"]
    assert found.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (GOOD.replace("components", "componets"), ["step 2 (decompose)", "'componets'", "did you mean 'components'"]),
        (GOOD.replace('"decompose"', '"decompse"'), ["'decompse' is no step", "allowed are open"]),
        (GOOD.replace("components = 3", ""), ["step 2 (decompose)", "'components' is missing"]),
        (GOOD.replace("= 3", "= 0"), ["components = 0", "greater than or equal to 1"]),
        (GOOD.replace("= 3", '= 3\nmethod = "nfm"'), ["method = 'nfm'", "should be 'nmf', 'pca', 'ica'"]),
        (GOOD + "[[stp]]\n", ["recipe", "'stp' is not a key", "did you mean 'step'"]),
        (GOOD.replace('"t"', "t"), ["not valid TOML", "line 2"]),
        ('title = "t"\n', ["'step' is missing"]),
        ('title = "t"\nstep = []\n', ["step"]),
        ('title = "t"\nstep = [3]\n', ["step"]),
        ('title = "t"\n[[step]]\nof = "map"\n', ["allowed are open"]),
    ],
)
def test_a_bad_recipe_is_refused_with_its_key_and_what_is_allowed(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.read(written(tmp_path, text))
    for message in messages:
        assert message in str(caught.value)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        recipe.read(tmp_path / "none.toml")


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="UTF-8"):
        recipe.read(path)


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("recipes/*.toml")), ids=lambda p: p.stem)
def test_every_recipe_of_the_project_is_valid(path: Path) -> None:
    assert recipe.read(path).step


def test_a_chain_of_cleaning_steps(tmp_path: Path) -> None:
    chain = '[{step = "despike"}, {step = "crop", energy = [0.5, 3.0]}, {step = "smooth", sigma = 0.05}]'
    text = f'title = "t"\n[[step]]\ndo = "clean"\nof = "map"\nchain = {chain}\n'
    found = recipe.read(written(tmp_path, text))
    project = Project(tmp_path)
    axes = {"x": fusion.Axis("um", 1.0), "energy": fusion.Axis("keV", 0.1)}
    flat = {"signal": (("x", "energy"), np.ones((2, 50)))}
    project["map"] = fusion.dataset(flat, axes, name="map", cell_methods="mean")
    found.step[0].run(project)
    cleaned = spectra.cleaning_steps(project["map"])
    assert [name for name, _ in cleaned] == ["despike", "crop", "smooth"]
    assert float(project["map"]["energy"].max()) <= 3.0
    broken = recipe.read(written(tmp_path, text.replace('{step = "despike"}', "{threshold = 3.0}")))
    with pytest.raises(RecipeError, match="each link of the chain names its step"):
        broken.step[0].run(project)
