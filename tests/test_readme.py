"""What README shows is what happens: its Python runs, its commands exist and do what it says."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import fusion
from conspectus import cli
from conspectus.project import Project
from fusion import Axis

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INDENTED = re.findall(r"^    (\S.*)$", README, re.MULTILINE)


def commands(program: str) -> list[list[str]]:
    """Return the lines that a terminal takes, without their comments."""
    lines = [shlex.split(line, comments=True) for line in INDENTED]
    return [line[1:] for line in lines if line[0] == program]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the Python of README, all blocks in one folder; return that folder."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names: dict[str, object] = {}
        for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
            exec(compile(block, "README.md", "exec"), names)
    return folder


def test_the_python_writes_the_files_that_it_names(written: Path) -> None:
    assert sorted(item.name for item in written.iterdir()) == ["fused.html", "fused.nc", "fused.png"]
    fused = fusion.load(written / "fused.nc")
    assert set(fused.data_vars) >= {"image", "abundance", "abundance_stderr", "endmember", "coverage"}


def test_make_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {word for line in commands("make") for word in line} | set(re.findall(r"`make (\w+)`", README))
    assert targets >= {"demo", "test", "bench"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_no_command_is_shown_that_is_not_run_here() -> None:
    shown = {"demo", "diff", "export", "history", "info", "picture", "replay", "run", "schema", "techniques", "view"}
    assert {line[0] for line in commands("conspectus")} == shown


def run(command: str, **words: Path) -> list[int]:
    """Run the lines of README that begin so, with paths in place of the words in capitals."""
    lines = [line for line in commands("conspectus") if line[0] == command]
    return [cli.main([str(words.get(word.partition(".")[0], word)) for word in line]) for line in lines]


def test_info_says_what_is_in_a_file_and_that_it_is_undamaged(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("info", FILE=written / "fused.nc") == [0, 0]
    text = capsys.readouterr().out
    assert "abundance" in text
    assert "every byte is as it was saved" in text.replace("\n", " ")


def test_export_writes_a_flat_file(
    demo: Project, demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("export", PROJECT=demo_folder / "specimen.nc") == [0]
    with xr.open_dataset(tmp_path / "fused.nc") as flat:
        assert flat["abundance_0"].dims == ("z", "y", "x")


def test_the_demo_is_made_again_to_the_last_bit(
    demo: Project, demo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("replay", specimen=demo_folder / "specimen.nc") == [0]
    assert "every step gave the same result, to the last bit" in capsys.readouterr().out


def test_diff_and_history_of_the_demo(demo: Project, demo_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = demo_folder / "specimen.nc"
    assert run("diff", A=saved, B=saved) == [0]
    assert "the same, to the last bit" in capsys.readouterr().out.replace("\n", " ")
    assert run("history", FILE=saved) == [0]
    assert "fusion.phantom" in capsys.readouterr().out


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema") == [0]
    assert "Decompose" in json.loads(capsys.readouterr().out)["$defs"]


def test_view_opens_a_page(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert run("view", PROJECT=written / "fused.nc") == [0]
    assert opened[0].endswith("fused.html")


def test_picture_draws_a_dataset(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("picture", PROJECT=written / "fused.nc") == [0]
    assert (tmp_path / "fused.png").exists()


def test_techniques_compares_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("techniques") == [0]
    assert "AFM" in capsys.readouterr().out


def test_run_goes_from_files_to_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    counts = np.random.default_rng(0).poisson(20.0, (6, 7, 30)).astype(np.uint16)
    variables = {"counts": (("y", "x", "energy"), counts, {"units": "count"})}
    fusion.save(fusion.dataset(variables, axes, name="map", cell_methods="sum"), tmp_path / "map.nc")
    steps = [
        {"do": "open", "name": "map", "file": "map.nc", "wing": "spectra"},
        {"do": "decompose", "of": "map", "components": 2},
        {"do": "fuse"},
    ]
    text = "".join("[[step]]\n" + "".join(f"{key} = {value!r}\n" for key, value in step.items()) for step in steps)
    (tmp_path / "small.toml").write_text(f'title = "small"\n{text}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run("run", RECIPE=tmp_path / "small.toml") == [0]
    assert (tmp_path / "out" / "small" / "report.html").exists()


def test_the_demo_writes_what_readme_says(demo: Project, demo_folder: Path) -> None:
    (sentence,) = re.findall(r"`make demo` writes (.*?) to\s+`out/demo`", README, re.DOTALL)
    assert sorted(re.findall(r"`([\w.]+)`", sentence)) == sorted(item.name for item in demo_folder.glob("[!.]*"))
