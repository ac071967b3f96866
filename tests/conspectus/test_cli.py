"""The command line as a user meets it: results, and one clear sentence with exit code 2 where the input is bad."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import fusion
from conspectus import cli
from conspectus.recipes.run import STEPS
from fusion import Axis

ROOT = Path(__file__).parents[2]


def saved_map(folder: Path, values: np.ndarray, *, unit: str = "um", shift: float = 0.0, frame: str = "stage") -> Path:
    """Save a small spectral map, in its own place on the stage."""
    axes = {"y": Axis(unit, 1.0), "x": Axis(unit, 1.0), "energy": Axis("keV", 0.1)}
    ds = fusion.dataset(
        {"counts": (("y", "x", "energy"), values, {"units": "count"})},
        axes,
        name="map",
        cell_methods="sum",
        pose=fusion.Affine.translation(x=shift),
        frame=frame,
    )
    return fusion.save(ds, folder / "map.nc")


def saved_volume(folder: Path) -> Path:
    axes = {dim: Axis("um", 0.5) for dim in "zyx"}
    image = np.random.default_rng(0).random((4, 12, 12))
    ds = fusion.dataset({"image": (("z", "y", "x"), image)}, axes, name="volume", cell_methods="mean", frame="stage")
    return fusion.save(ds, folder / "volume.nc")


def recipe(folder: Path, text: str) -> Path:
    path = folder / "r.toml"
    path.write_text(f'title = "test"\n{text}', encoding="utf-8")
    return path


MAP = '[[step]]\ndo = "open"\nname = "map"\nfile = "map.nc"\nwing = "spectra"\n'
VOLUME = '[[step]]\ndo = "open"\nname = "volume"\nfile = "volume.nc"\nwing = "volumes"\n'
DECOMPOSE = '[[step]]\ndo = "decompose"\nof = "map"\ncomponents = 2\n'
ALONE = '[[step]]\ndo = "fuse"\n'
FUSE = '[[step]]\ndo = "fuse"\nonto = "volume"\n'
COUNTS = np.random.default_rng(1).poisson(20.0, (6, 7, 30)).astype(np.uint16)


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], out: Path, *words: str) -> None:
    """Exit code 2, one sentence on standard error that says the words, and no result written."""
    before = written(out.parent)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("conspectus: error: ")
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    assert written(out.parent) == before


def written(folder: Path) -> list[Path]:
    """Return all files but those of finished steps, which a later run takes up."""
    return sorted(item for item in folder.rglob("*") if item.is_file() and STEPS not in item.parts)


RESULTS = ["fused.nc", "fused.png", "report.html", "specimen.nc"]


def run(folder: Path, text: str) -> list[str]:
    return ["run", str(recipe(folder, text)), "--out", str(folder / "out")]


def test_a_recipe_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, COUNTS)
    saved_volume(tmp_path)
    assert cli.main(run(tmp_path, MAP + VOLUME + DECOMPOSE + FUSE)) == 0
    assert [item.name for item in written(tmp_path / "out")] == RESULTS
    tree = fusion.load(tmp_path / "out" / "specimen.nc")
    assert set(tree["fused"].data_vars) >= {"image", "abundance", "coverage", "endmember"}
    printed = capsys.readouterr().out
    assert "decompose" in printed
    assert "peak memory" in printed


def test_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, run(tmp_path, MAP + DECOMPOSE), tmp_path / "out", "map.nc", "no such file")


def test_an_unknown_format_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "map.xyz").write_text("hello")
    refused(capsys, run(tmp_path, MAP.replace("map.nc", "map.xyz") + DECOMPOSE + ALONE), tmp_path / "out", "map.xyz")
    refused(capsys, ["info", str(tmp_path / "map.xyz")], tmp_path / "out", "map.xyz")


def test_a_map_without_pixel_size_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, COUNTS, unit="px")
    saved_volume(tmp_path)
    text = MAP + VOLUME + DECOMPOSE + FUSE
    refused(capsys, run(tmp_path, text), tmp_path / "out", "pixel size", "not known", "set_pixel_size")


def test_a_map_of_nan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, np.full((6, 7, 30), np.nan))
    refused(capsys, run(tmp_path, MAP + DECOMPOSE + ALONE), tmp_path / "out", "NaN")


def test_a_map_of_one_pixel_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, COUNTS[:1, :1])
    refused(capsys, run(tmp_path, MAP + DECOMPOSE + ALONE), tmp_path / "out", "pixel")


def test_a_map_that_misses_the_volume_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, COUNTS, shift=100.0)
    saved_volume(tmp_path)
    text = MAP + VOLUME + DECOMPOSE + FUSE
    refused(capsys, run(tmp_path, text), tmp_path / "out", "misses the grid", "overlap along x")


def test_datasets_without_a_common_frame_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, COUNTS, frame="another stage")
    saved_volume(tmp_path)
    refused(capsys, run(tmp_path, MAP + VOLUME + DECOMPOSE + FUSE), tmp_path / "out", "share no frame")


def test_a_misspelt_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = MAP + DECOMPOSE.replace("components", "componets")
    refused(capsys, run(tmp_path, text), tmp_path / "out", "componets", "did you mean 'components'?")


def test_a_name_that_no_step_makes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, COUNTS)
    text = MAP + DECOMPOSE.replace('"map"', '"mpa"')
    refused(capsys, run(tmp_path, text), tmp_path / "out", "'mpa'", "so far there are map")


def test_a_recipe_that_fuses_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_map(tmp_path, COUNTS)
    refused(capsys, run(tmp_path, MAP + DECOMPOSE), tmp_path / "out", "no step makes the fused dataset")


def test_an_older_result_survives_a_failing_run(tmp_path: Path) -> None:
    saved_map(tmp_path, COUNTS)
    assert cli.main(run(tmp_path, MAP + DECOMPOSE + '[[step]]\ndo = "fuse"\n')) == 0
    before = (tmp_path / "out" / "specimen.nc").read_bytes()
    saved_map(tmp_path, np.full((6, 7, 30), np.nan))
    assert cli.main(run(tmp_path, MAP + DECOMPOSE + '[[step]]\ndo = "fuse"\n')) == 2
    assert (tmp_path / "out" / "specimen.nc").read_bytes() == before


def test_info_lists_a_saved_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(saved_map(tmp_path, COUNTS, shift=2.0))]) == 0
    printed = capsys.readouterr().out
    assert "counts" in printed
    assert "energy 30" in printed
    assert "in stage" in printed


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys\nfrom conspectus.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'xarray', 'rich', 'pydantic', 'hyperspy', 'pyvista'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def heed_interrupts() -> None:
    """Undo what a shell does to tests that it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_half_way_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conspectus", "demo", "--out", str(tmp_path / "demo")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 60
    while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing was written" in error
    assert list(tmp_path.iterdir()) == []


def test_a_node_is_exported_and_a_wrong_one_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = saved_map(tmp_path, COUNTS)
    assert cli.main(["export", str(project), "-o", str(tmp_path / "flat.nc")]) == 0
    with xr.open_dataset(tmp_path / "flat.nc") as flat:
        np.testing.assert_array_equal(flat["counts"], COUNTS)
    arguments = ["export", str(project), "--node", "map/sem", "-o", str(tmp_path / "flat.nc")]
    refused(capsys, arguments, tmp_path / "out", "no node 'map/sem'", "leave --node out")


def test_a_damaged_file_is_named_by_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved_map(tmp_path, COUNTS)
    assert cli.main(["info", "--verify", str(path)]) == 0
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        block = file["counts"].id.get_chunk_info(0)
    content[block.byte_offset + 9] ^= 4
    path.write_bytes(content)
    refused(capsys, ["info", "--verify", str(path)], tmp_path / "out", "damaged: /counts")
