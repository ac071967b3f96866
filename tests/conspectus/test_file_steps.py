"""Steps of a recipe for what functions read, combine and return as trees; and that no public function is left out."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
import volumes
from conspectus import cli
from conspectus.errors import RecipeError
from conspectus.project import Project
from conspectus.recipes import apply, plan, recipe, run
from conspectus.recipes.journal import Journal
from conspectus.recipes.replay import replay
from fusion import Affine, Axis
from tests.makers.recipes import write_recipe

ROOT = Path(__file__).parents[2]
SPREAD = np.diag([0.0, 0.0, 0.0, 0.01] * 3)


def carried_out(folder: Path, text: str, **datasets: xr.Dataset) -> Project:
    """Carry out the steps of a recipe on datasets, without pictures of the end."""
    path = folder / "recipe.toml"
    path.write_text(f'title = "t"\n{text}', encoding="utf-8")
    project, journal = Project(folder), Journal()
    for name, ds in datasets.items():
        project[name] = ds
    for step in recipe.read(path).step:
        journal.carry_out(step, project)
    return project


def image(name: str) -> xr.Dataset:
    values = {"image": (("y", "x"), np.random.default_rng(0).normal(size=(20, 30)))}
    return fusion.dataset(values, {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}, name=name, cell_methods="mean")


REGISTER = '[[step]]\ndo = "register"\nmoving = "moving"\nfixed = "fixed"\n'
READ = '[[step]]\ndo = "read_transform"\nname = "pose"\nfile = "pose.json"\n'


def test_a_transform_of_another_program_is_taken(tmp_path: Path) -> None:
    truth = Affine.translation(y=3.0, x=-2.0)
    fusion.write_transform(truth, tmp_path / "pose.json")
    text = READ + REGISTER + 'method = "transforms"\ntransforms = ["pose"]\n'
    project = carried_out(tmp_path, text, moving=image("moving"), fixed=image("fixed"))
    np.testing.assert_allclose(fusion.between(project["moving"], project["fixed"]).matrix, truth.matrix)
    assert fusion.provenance.read(project["pose"])["inputs"][0]["path"] == "pose.json"


def test_estimates_are_combined_by_their_errors(tmp_path: Path) -> None:
    estimates = {
        name: fusion.set_pose(xr.Dataset(), Affine(Affine.translation(x=x).matrix, covariance=SPREAD), "fixed")
        for name, x in (("stage", 1.0), ("marks", 1.2))
    }
    text = REGISTER + 'method = "transforms"\ntransforms = ["stage", "marks"]\n'
    project = carried_out(tmp_path, text, moving=image("moving"), fixed=image("fixed"), **estimates)
    both: Any = fusion.between(project["moving"], project["fixed"])
    assert float(both.matrix[2, 3]) == pytest.approx(1.1)
    assert float(both.covariance[11, 11]) == pytest.approx(0.005)


def test_a_registration_keeps_its_transform_by_name(tmp_path: Path) -> None:
    pairs = "[[[0, 0, 0], [0, 1, 0]], [[0, 0, 9], [0, 1, 9]], [[0, 9, 0], [0, 10, 0]]]"
    text = REGISTER + f'model = "rigid"\nsigma = 0.1\nname = "marks"\npairs = {pairs}\n'.replace("[0, ", "[")
    project = carried_out(tmp_path, text, moving=image("moving"), fixed=image("fixed"))
    pose: Any = fusion.get_pose(project["marks"])[0]
    np.testing.assert_allclose(pose.matrix, Affine.translation(y=1.0).matrix, atol=1e-12)
    assert pose.covariance is not None


def test_a_pose_is_an_argument_of_a_function(tmp_path: Path) -> None:
    fusion.write_transform(Affine.translation(x=0.5), tmp_path / "pose.json")
    text = READ + (
        '[[step]]\ndo = "apply"\nfunction = "fusion.resample"\nof = "moving"\nname = "moved"\n'
        'datasets = { grid = "fixed", transform = "pose" }\n'
    )
    project = carried_out(tmp_path, text, moving=image("moving"), fixed=image("fixed"))
    expected = fusion.resample(image("moving"), image("fixed"), transform=Affine.translation(x=0.5))
    np.testing.assert_array_equal(project["moved"]["image"], expected["image"])


@pytest.mark.parametrize("wing", ["fusion", "volumes"])
def test_landmarks_of_a_file_register(tmp_path: Path, wing: str) -> None:
    points = np.array([[1.0, 2.0], [15.0, 3.0], [4.0, 25.0], [16.0, 26.0]])
    if wing == "volumes":
        rows = "\n".join(f"{y},{x},{y + 2.0},{x + 1.0}" for y, x in points)
        (tmp_path / "marks.csv").write_text(f"moving_y,moving_x,fixed_y,fixed_x\n{rows}\n")
    else:
        flat = np.pad(points, ((0, 0), (1, 0)))
        sides = {"moving": (("point", "axis"), flat), "fixed": (("point", "axis"), flat + np.array([0.0, 2.0, 1.0]))}
        table = xr.Dataset(sides, {"axis": list("zyx"), "point": list("abcd")})
        fusion.write_landmarks(table, tmp_path / "marks.csv", unit="um")
    unit = 'unit = "um"\n' if wing == "fusion" else ""
    text = (
        f'[[step]]\ndo = "read_landmarks"\nwing = "{wing}"\nfile = "marks.csv"\n'
        + f'moving = "moving"\nfixed = "fixed"\n{unit}' + REGISTER + 'model = "rigid"\nlandmarks = "landmarks"\n'
    )  # fmt: skip
    project = carried_out(tmp_path, text, moving=image("moving"), fixed=image("fixed"))
    moved: Any = fusion.between(project["moving"], project["fixed"])
    np.testing.assert_allclose(moved.matrix, Affine.translation(y=2.0, x=1.0).matrix, atol=1e-9)


def test_two_files_of_slicer_hold_the_two_sides(tmp_path: Path) -> None:
    points = np.array([[0.0, 1.0, 2.0], [0.0, 15.0, 3.0], [0.0, 4.0, 25.0]])
    moved = (points + np.array([0.0, 2.0, 1.0]))[::-1]
    text = ""
    for side, rows, names in (("moving", points, "abc"), ("fixed", moved, "cba")):
        table = xr.Dataset({"points": (("point", "axis"), rows)}, {"axis": list("zyx"), "point": list(names)})
        fusion.write_landmarks(table, tmp_path / f"{side}.fcsv")
        text += f'[[step]]\ndo = "read_landmarks"\nfile = "{side}.fcsv"\n{side} = "{side}"\n'
    text += REGISTER + 'model = "rigid"\nlandmarks = "landmarks"\n'
    project = carried_out(tmp_path, text, moving=image("moving"), fixed=image("fixed"))
    found: Any = fusion.between(project["moving"], project["fixed"])
    np.testing.assert_allclose(found.matrix, Affine.translation(y=2.0, x=1.0).matrix, atol=1e-9)
    fusion.write_landmarks(table.assign_coords(point=list("xyz")), tmp_path / "fixed.fcsv")
    with pytest.raises(RecipeError, match="only one side has the landmarks a, b, c, x, y, z"):
        carried_out(tmp_path, text, moving=image("moving"), fixed=image("fixed"))


def test_an_alignment_of_imod_is_read_and_carried_out(tmp_path: Path) -> None:
    tilts = np.arange(-60.0, 61.0, 20.0)
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "tilt": Axis("degree", values=tilts)}
    values = {"haadf": (("y", "x", "tilt"), np.random.default_rng(0).uniform(size=(12, 12, 7)))}
    views = fusion.dataset(values, axes, name="views", cell_methods="mean")
    (tmp_path / "rod.xf").write_text("\n".join(["1 0 0 1 1.0 0.0"] * 7))
    (tmp_path / "rod.tlt").write_text("\n".join(map(str, tilts)))
    text = (
        '[[step]]\ndo = "load_alignment"\nof = "views"\nfile = "rod.xf"\n'
        '[[step]]\ndo = "apply"\nfunction = "volumes.apply_alignment"\nof = "views"\nname = "aligned"\n'
        'datasets = { alignment = "alignment" }\n'
    )
    project = carried_out(tmp_path, text, views=views)
    expected = volumes.apply_alignment(views, volumes.load_alignment(tmp_path / "rod.xf", views))
    np.testing.assert_array_equal(project["aligned"]["haadf"], expected["haadf"])


JOINT = """
title = "Two maps of one field"

[[step]]
do = "open"
name = "map"
file = "map.nc"
wing = "spectra"

[[step]]
do = "open"
name = "other"
file = "map.nc"
wing = "spectra"

[[step]]
do = "baseline"
of = "other"
clip = true

[[step]]
do = "decompose_jointly"
of = ["map", "other"]
components = 2

[[step]]
do = "fuse"
of = "map_components"
"""


def test_a_joint_decomposition_is_run_planned_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_recipe(tmp_path, JOINT)
    planned = {name: ds for line in plan.lines(recipe.read(path)) for name, ds in line.made.items()}
    project = run.run(recipe.read(path), tmp_path / "out")
    made = project["other_components"]
    assert planned["other_components"] is not None
    assert planned["other_components"]["abundance"].sizes == made["abundance"].sizes
    assert planned["other_components"]["endmember"].sizes == made["endmember"].sizes
    tree = spectra.decompose_jointly({"map": project["map"], "other": project["other"]}, 2)
    np.testing.assert_array_equal(made["abundance"], tree["shared/abundance"])
    np.testing.assert_array_equal(made["endmember"], tree["other/endmember"])
    assert replay(tmp_path / "out" / "specimen.nc", sources=tmp_path).differences == []
    assert cli.main(["run", str(path), "--dry-run"]) == 0
    assert "decompose_jointly" in capsys.readouterr().out


def test_a_classifier_is_trained_on_another_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 40)) + np.where(np.arange(40) < 20, 0.0, 9.0)
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
    first = fusion.dataset({"image": (("y", "x"), values)}, axes, name="first", cell_methods="mean")
    other = fusion.dataset({"image": (("y", "x"), values[:, ::-1].copy())}, axes, name="other", cell_methods="mean")
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5], labels[5:15, 35] = 1, 2
    flags = {"flag_values": np.int32([1, 2]), "flag_meanings": "dark bright"}
    painted = fusion.dataset({"label": (("y", "x"), labels, flags)}, axes, name="painted")
    text = (
        '[[step]]\ndo = "segment"\nof = "other"\nannotation = "painted"\ntrained_on = "first"\n'
        "trees = 10\nscales = [1.0]\n"
    )
    project = carried_out(tmp_path, text, first=first, other=other, painted=painted)
    label = project["segmentation"]["label"]
    assert float((label[:, :18] == 2).mean()) > 0.95
    assert float((label[:, 22:] == 1).mean()) > 0.95


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (REGISTER + 'method = "transforms"\n', "name the transforms"),
        (REGISTER + 'method = "transforms"\nmodel = "rigid"\ntransforms = ["a"]\n', "model is no key of method"),
        ('[[step]]\ndo = "read_landmarks"\nfile = "a.csv"\n', "name the datasets that the landmarks lie in"),
        ('[[step]]\ndo = "segment"\nof = "a"\nmodel = "m.npz"\ntrained_on = "b"\n', "trained_on is where"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        carried_out(tmp_path, text)


def test_a_file_that_is_missing_is_found_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(f'title = "t"\n{READ}')
    with pytest.raises(RecipeError, match=r"step 1 \(read_transform\): .*pose.json: no such file"):
        plan.require(recipe.read(tmp_path / "r.toml"))


def test_the_recipe_of_the_page_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "recipe.md").read_text(encoding="utf-8")
    (tmp_path / "r.toml").write_text(page.partition("```toml")[2].partition("```")[0], encoding="utf-8")
    assert [step.do for step in recipe.read(tmp_path / "r.toml").step][:3] == ["open", "open", "read_transform"]


def test_every_public_function_has_a_step_or_a_reason() -> None:
    page = (ROOT / "docs" / "howto" / "recipe.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r"`((?:fusion|spectra|volumes)\.\w+)`", page.partition("## What has no step")[2]))
    steps = {"fusion.phantom", "fusion.read_landmarks", "fusion.read_transform", "spectra.decompose_jointly",
             "spectra.open", "volumes.load_alignment", "volumes.open", "volumes.read_landmarks"}  # fmt: skip
    functions = {
        f"{wing.__name__}.{name}"
        for wing in (fusion, spectra, volumes)
        for name in wing.__all__
        if name[0].islower() and callable(getattr(wing, name))
    }
    assert functions - set(apply.functions()) - steps == reasons
