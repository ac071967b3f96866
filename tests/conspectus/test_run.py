"""A run and what is asked of it afterwards: resumed, planned, made again, compared, drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr

import fusion
import spectra
import volumes
from conspectus import cli, records
from conspectus.errors import RecipeError
from conspectus.pages import differences
from conspectus.project import Project
from conspectus.recipes import plan, recipe, replay, run
from conspectus.recipes.journal import Journal
from conspectus.recipes.step import Step
from conspectus.recipes.steps import Decompose
from fusion import Affine, provenance
from tests.makers.datasets import small
from tests.makers.recipes import RECIPE, write_recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the small recipe was carried out, with its results in ``out``."""
    folder = tmp_path_factory.mktemp("run")
    run.run(recipe.read(write_recipe(folder)), folder / "out")
    return folder


def carried_out(path: Path, kept: Path | None = None) -> tuple[Project, Journal]:
    """Carry out the steps of a recipe without pictures and files."""
    read = recipe.read(path)
    project, journal = Project(read.folder), Journal(kept)
    for step in read.step:
        journal.carry_out(step, project)
    return project, journal


def test_each_step_reads_and_makes_what_it_declares(demo: Project, tmp_path: Path) -> None:
    seen: set[str] = set()
    made: set[str] = set()

    class Watched(Project):
        def __getitem__(self, name: str) -> xr.Dataset:
            seen.add(name)
            return super().__getitem__(name)

        def __setitem__(self, name: str, ds: xr.Dataset) -> None:
            made.add(name)
            super().__setitem__(name, ds)

    project = Watched(write_recipe(tmp_path).parent, dict(demo.nodes))
    steps: list[Step] = [*recipe.demo().step[1:], *recipe.read(tmp_path / "recipe.toml").step]
    for step in steps:
        if step.do == "fuse" and step.reads != ("components",):
            continue
        seen.clear()
        made.clear()
        step.run(project)
        assert seen <= {*step.reads, *step.makes}, step.do
        assert made == set(step.makes), step.do


def test_finished_steps_are_not_carried_out_again(tmp_path: Path) -> None:
    path, kept = write_recipe(tmp_path), tmp_path / "kept"
    first, journal = carried_out(path, kept)
    assert journal.repeated == [False] * 5
    again, second = carried_out(path, kept)
    # a file is always opened, as it may have changed, and lazy values are not kept
    assert second.repeated == [False, False, True, True, True]
    assert second.steps == journal.steps
    assert (again.findings, again.pictures) == (first.findings, first.pictures)
    for name, ds in first.nodes.items():
        xr.testing.assert_identical(again[name].drop_attrs(deep=False), ds.drop_attrs(deep=False))


def test_a_changed_step_and_all_that_follow_are_carried_out_again(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    carried_out(write_recipe(tmp_path), kept)
    _, journal = carried_out(
        write_recipe(tmp_path, RECIPE.replace('{ weighting = "poisson" }', "{ closure = true }")), kept
    )
    assert journal.repeated == [False, False, True, False, True]
    assert len(list(kept.iterdir())) == 4
    journal.clear()
    assert len(list(kept.iterdir())) == 3
    _, journal = carried_out(write_recipe(tmp_path, RECIPE.replace("components = 2", "components = 3")), kept)
    assert journal.repeated == [False] * 5


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    path, kept = write_recipe(tmp_path), tmp_path / "kept"
    carried_out(path, kept)
    ds = fusion.load(tmp_path / "map.nc")
    fusion.save(ds.assign(counts=ds["counts"] + np.uint16(1)), tmp_path / "map.nc")
    assert carried_out(path, kept)[1].repeated == [False] * 5


def test_other_versions_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = write_recipe(tmp_path), tmp_path / "kept"
    carried_out(path, kept)
    monkeypatch.setattr(records, "environment", lambda: {"numpy": "1.0"})
    assert carried_out(path, kept)[1].repeated == [False] * 5


def test_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    path, kept = write_recipe(tmp_path), tmp_path / "kept"
    carried_out(path, kept)
    for item in kept.iterdir():
        content = bytearray(item.read_bytes())
        content[len(content) // 2] ^= 1
        item.write_bytes(content)
    assert carried_out(path, kept)[1].repeated == [False] * 5


def test_a_run_that_failed_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = recipe.read(write_recipe(tmp_path))

    def fail(*_: Any) -> None:
        raise fusion.DataError("no")

    with monkeypatch.context() as patch:
        patch.setattr(run, "_render", fail)
        with pytest.raises(fusion.DataError):
            run.run(read, tmp_path / "out")
    assert [item.name for item in (tmp_path / "out").iterdir()] == [run.STEPS]
    patched = pytest.MonkeyPatch()
    patched.setattr(Decompose, "run", fail)
    try:
        run.run(read, tmp_path / "out")
        with pytest.raises(fusion.DataError):
            run.run(read, tmp_path / "out", fresh=True)
    finally:
        patched.undo()


def test_a_result_is_made_again_to_the_last_bit(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = finished / "out" / "specimen.nc"
    assert cli.main(["replay", str(path), "--sources", str(finished)]) == 0
    assert "every step gave the same result" in capsys.readouterr().out


def test_a_replay_of_other_sources_names_the_step_and_the_file(finished: Path, tmp_path: Path) -> None:
    write_recipe(tmp_path)
    ds = fusion.load(tmp_path / "map.nc")
    fusion.save(ds.assign(counts=ds["counts"] * np.uint16(2)), tmp_path / "map.nc")
    result = replay.replay(finished / "out" / "specimen.nc", sources=tmp_path)
    assert not result.same
    assert str(result.differences[0]) == "step 1 (open): map, the file map.nc"
    assert result.environment == []


def test_a_file_that_was_changed_since_says_so(finished: Path, tmp_path: Path) -> None:
    tree = fusion.load(finished / "out" / "specimen.nc")
    fused = tree["fused"].to_dataset()
    tree["fused"] = xr.DataTree(fused.assign(abundance=fused["abundance"] * 1.5))
    result = replay.replay(fusion.save(tree, tmp_path / "changed.nc"), sources=finished)
    assert str(result.differences[0]) == "the file, changed since its run: fused"


def session(folder: Path) -> xr.Dataset:
    """Fuse the small map with an image, as a session of Python does."""
    write_recipe(folder)
    tifffile.imwrite(folder / "sem.tif", np.arange(1050, dtype=np.uint16).reshape(30, 35))
    cropped = spectra.crop(spectra.open(folder / "map.nc"), energy=(1.0, 4.5))
    rng = np.random.default_rng(0)
    marks = np.pad(rng.uniform(0.0, 3.0, (6, 2)), ((0, 0), (1, 0)))
    targets = marks + np.pad(rng.normal(0.1, 0.01, (6, 2)), ((0, 0), (1, 0)))
    placed = fusion.register_landmarks(marks, targets, model="rigid").transform
    image = volumes.open(folder / "sem.tif", voxel="100 nm")
    return fusion.fuse(spectra.decompose(cropped, 2), image, transform=placed)


def test_a_session_of_python_is_made_again_to_the_last_bit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fused = session(tmp_path)
    path = fusion.save(xr.DataTree.from_dict({"/fused": fused}), tmp_path / "s.nc")
    assert cli.main(["replay", str(path), "--sources", str(tmp_path)]) == 0
    assert "every step gave the same result" in capsys.readouterr().out
    fusion.save(fused.assign(abundance=fused["abundance"] * 1.5), path)
    assert (
        str(replay.replay(path, sources=tmp_path).differences[0])
        == "the dataset, changed after its last step on record: fused"
    )


def test_steps_that_resample_on_the_way_are_made_again(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    tifffile.imwrite(
        tmp_path / "stack.tif", np.arange(960, dtype=np.uint16).reshape(4, 12, 20), photometric="minisblack"
    )
    counts = spectra.open(tmp_path / "map.nc")
    volume = volumes.open(tmp_path / "stack.tif", voxel="250 nm", dims=("z", "y", "x"))
    placed = fusion.place(counts, volume, transform=Affine.translation(x=0.2), depth=0.5)
    for ds in (placed, volumes.slice(volume, (0.5, 1.0, 1.0), (0.0, 1.0, 1.0))):
        assert replay.replay(fusion.save(ds, tmp_path / "s.nc"), sources=tmp_path).same


def test_a_step_that_cannot_be_carried_out_again_is_named_with_the_reason(tmp_path: Path) -> None:
    fused, counts = session(tmp_path), spectra.open(tmp_path / "map.nc")
    moved = fusion.resample(small(), fused, depth=1.0, transform=Affine.translation(x=-3.0, y=1.0))
    cases = {
        "no record of how it was made": small(),
        r"fusion.set_pose\) .* with what is on record it fails": provenance.record(
            counts, "fusion.set_pose", {"pose": "Affine(angle 7 degrees)", "frame": "stage"}
        ),
        r"fusion.coarsen\) .* takes 1 datasets, of which 0": fusion.coarsen(small(), x=3),
        r"fusion.resample\) .* takes 2 datasets, of which 1": moved,
    }
    for reason, ds in cases.items():
        with pytest.raises(RecipeError, match=reason):
            replay.replay(fusion.save(ds, tmp_path / "s.nc"), sources=tmp_path)
    fusion.save(fused, tmp_path / "s.nc")
    with pytest.raises(RecipeError, match=r"map.nc: no such file; name its folder with --sources"):
        replay.replay(tmp_path / "s.nc", sources=tmp_path / "other")
    tifffile.imwrite(tmp_path / "sem.tif", np.zeros((30, 35), np.uint16))
    with pytest.raises(RecipeError, match=r"volumes.open\) .* is not the file that was opened"):
        replay.replay(tmp_path / "s.nc", sources=tmp_path)


def test_the_difference_of_two_runs_is_the_step_and_its_size(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_recipe(tmp_path, RECIPE.replace("sigma = 0.2", "sigma = 0.3"))
    run.run(recipe.read(other), tmp_path / "out")
    capsys.readouterr()
    paths = [str(folder / "out" / "specimen.nc") for folder in (finished, tmp_path)]
    assert cli.main(["diff", *paths]) == 0
    printed = capsys.readouterr().out
    assert "step 2 (apply): options {'sigma': 0.2} → {'sigma': 0.3}" in printed
    assert "smoothed/counts" in printed
    assert "map/counts" not in printed
    assert cli.main(["diff", paths[0], paths[0]]) == 0
    assert "are the same, to the last bit" in capsys.readouterr().out


def test_a_difference_is_measured() -> None:
    ds = small(np.arange(6).reshape(2, 3))
    moved = ds.assign(image=ds["image"].astype(np.float64) + 0.5)
    rows = list(differences._differences({"map": ds}, {"map": moved, "more": ds}))
    assert rows[0][:2] == ("map/image", "0.5")
    assert rows[1] == ("more", "only in the second file", "")


def test_the_history_is_drawn(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", str(finished / "out" / "specimen.nc")]) == 0
    printed = capsys.readouterr().out
    for text in ("2 apply", "spectra.decompose(components=2", "spectra.smooth(", "from map.nc"):
        assert text in printed, text
    assert cli.main(["history", str(finished / "map.nc")]) == 0


def test_a_dry_run_says_sizes_and_computes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_recipe(tmp_path)
    assert cli.main(["run", str(path), "--dry-run", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "map: y 6, x 7, energy 40" in printed
    assert "known once it is run" in printed
    assert not (tmp_path / "out").exists()


def test_the_forecast_is_what_the_demo_holds(demo: Project) -> None:
    lines = {line.step.do: line.made for line in plan.lines(recipe.demo())}
    for do, name, variable in [("decompose", "components", "abundance"), ("fuse", "fused", "abundance_stderr")]:
        planned = lines[do][name]
        assert planned is not None
        assert planned[variable].shape == demo[name][variable].shape
        assert planned.nbytes == pytest.approx(demo[name].nbytes, rel=0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('of = "smoothed"', 'of = "smothed"', "step 3 (decompose): no earlier step makes 'smothed'"),
        ('"map.nc"', '"none.nc"', "none.nc: no such file"),
        ('[[step]]\ndo = "fuse"', "", "no step makes the fused dataset"),
        ('title = "Two phases"', 'title = "t"\nkeep = ["mop"]', "keep: there is no 'mop'"),
    ],
)
def test_what_would_fail_is_refused_before_the_first_step(tmp_path: Path, old: str, new: str, message: str) -> None:
    read = recipe.read(write_recipe(tmp_path, RECIPE.replace(old, new, 1)))
    with pytest.raises(RecipeError, match=message.replace("(", r"\(").replace(")", r"\)")):
        run.run(read, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_project_says_what_made_it(finished: Path) -> None:
    found = records.read(fusion.load(finished / "out" / "specimen.nc"))
    assert found is not None
    assert [step["do"] for step in found["steps"]] == ["open", "apply", "decompose", "apply", "fuse"]
    assert found["steps"][0]["files"].keys() == {"map.nc"}
    assert found["steps"][2]["inputs"]["smoothed"] == found["steps"][1]["outputs"]["smoothed"]
    assert {"python", "numpy", "scikit-learn", "source", "threads"} <= found["environment"].keys()
    assert json.loads(fusion.load(finished / "out" / "specimen.nc").attrs["run"])["recipe"]["title"] == "Two phases"
