"""`conspectus info`: what a user reads of a file before opening it, and which package a file is sent to."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
from rich.console import Console

import fusion
import spectra
import volumes
from conspectus.pages import formats, info
from conspectus.pages.inventory import MANY, item_of, opened
from fusion import Affine, Axis, FileReadError
from fusion.reading.advice import EXPORTS, OPENERS
from fusion.reading.stage import STAGE
from spectra.readers.formats import extensions
from volumes.readers.backend import _SUFFIXES

Find = Callable[[str], Path]


def shown(path: Path) -> str:
    """Return what a terminal of 160 columns shows."""
    console = Console(width=160, markup=False, file=io.StringIO(), record=True)
    info.show(path, console=console)
    return console.export_text()


def image(unit: str = "nm", **changed: Any) -> xr.Dataset:
    axes = {"y": Axis(unit, step=5.0), "x": Axis(unit, step=2.0)}
    return fusion.dataset(
        {"image": (("y", "x"), np.zeros((3, 4)))}, axes, **{"name": "map", "cell_methods": "mean", **changed}
    )


def test_size_step_and_extent_of_each_axis() -> None:
    assert item_of(image()).axes == ("y 3 × 5 nm = 15 nm", "x 4 × 2 nm = 8 nm")
    assert item_of(image("px")).axes == ("y 3 px, pixel size unknown", "x 4 px, pixel size unknown")
    axes = {"y": Axis("um", step=1.0), "energy": Axis("eV", values=[0.0, 10.0, 30.0]), "z": Axis("mm", values=-2.0)}
    ds = fusion.dataset({"counts": (("y", "energy"), np.zeros((1, 3)))}, axes, name="line", cell_methods="sum")
    assert item_of(ds).axes == ("y 1 at 0", "energy 3, 0 to 0.03 keV, uneven", "z at −2 mm")
    film = {"x": Axis("um", step=1.0), "time": Axis("ps", values=[-2.0, -1.5, -1.0])}
    ds = fusion.dataset({"image": (("x", "time"), np.zeros((1, 3)))}, film, name="film", cell_methods="mean")
    assert item_of(ds).axes == ("x 1 at 0", "time 3, −2 to −1 ps, step 0.5 ps")
    slices = {"z": Axis("um", values=[0.0, 0.01, 0.5]), "channel": ["DAPI", "GFP"]}
    ds = fusion.dataset({"stack": (("z", "channel"), np.zeros((3, 2)))}, slices, name="s", cell_methods="mean")
    assert item_of(ds).axes == ("z 3, uneven, over 500 nm", "channel 2: DAPI, GFP")


def test_place_and_tilt() -> None:
    assert item_of(image()).position == ("unknown",)
    upright = image(pose=Affine.identity(), frame=STAGE)
    assert item_of(upright).position == ("on the stage", "x 3 nm, y 5 nm, z 0")
    pose = Affine.translation(x=-5000.0, y=20.0) @ Affine.rotation(30.0) @ Affine.rotation(52.0, axis=(0, 0, 1))
    frame, position, angles = item_of(image(pose=pose, frame="lamella")).position
    assert (frame, angles) == ("in lamella", "tilted 52°, turned 30°")
    assert position.startswith("x −5 mm, y 20 µm, z ")
    assert item_of(image("px", pose=pose, frame="lamella")).position == ("in lamella", "tilted 52°, turned 30°")


def test_points_and_no_points() -> None:
    for count, said in ((2, "x 1 µm to 3 µm"), (0, "x of no point")):
        places = {dim: Axis("um", values=[1.0, 3.0][:count]) for dim in "yx"}
        ds = fusion.dataset({"photons": ("point", np.ones(count))}, places, name="p")
        assert item_of(ds).axes[0] == f"point {count}"
        assert said in item_of(ds).axes


def test_many_items_alike_are_one_row(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(MANY + 1):
            file[f"map{number:02}"] = np.zeros((3, 4))
        file["other"] = np.zeros((3, 5))
    opener, items = opened(tmp_path / "many.h5")
    assert opener == "volumes.open"
    assert [len(item.names) for item in items] == [MANY + 1, 1]
    assert [item.axes[1] for item in items] == ["x 4 px, pixel size unknown", "x 5 px, pixel size unknown"]


def test_a_file_says_how_it_opens_and_what_it_lacks(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 4, 5), np.uint8), photometric="minisblack")
    assert "open with volumes.open" in shown(tmp_path / "stack.tif")
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["cube"] = np.zeros((3, 4, 5))
    text = shown(tmp_path / "cube.h5")
    assert "3 × 4 × 5" in text
    assert "dims=('z', 'y', 'x')" in text


def test_a_project_lists_its_datasets(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({"/sem": image(), "/afm": image(pose=Affine.translation(x=7.0), frame="sem")})
    text = shown(fusion.save(tree, tmp_path / "project.nc"))
    assert "open with fusion.load" in text
    assert "sem: image" in text
    assert "in sem" in text


@pytest.mark.filterwarnings("ignore:.*the measurement was stopped:fusion.TruncatedFileWarning")
@pytest.mark.parametrize("name", formats.entries())
def test_every_measured_file_is_shown(name: str, measured: Find, direct: None) -> None:
    opener, items = opened(measured(name))
    assert opener in OPENERS
    for item in items:
        assert item.names
        assert item.axes
        assert bool(item.fault) != bool(item.position)
        assert not item.fault or formats.entries()[name].arguments


def test_a_measured_map_reads_well(measured: Find) -> None:
    text = shown(measured("edx/P45_the_default_job.bcf"))
    for said in (
        "spectra.open",
        "EDX",
        "x 100 × 8.74 µm = 874 µm",
        "on the stage",
        "tilted 0.5°",
        "energy 2048, −0.47",
    ):
        assert said in text


def test_each_extension_leads_to_one_package() -> None:
    assert {f".{end}" for end in OPENERS["spectra.open"]} == set(extensions())
    assert set(_SUFFIXES) <= {f".{end}" for end in OPENERS["volumes.open"]}
    assert not set(OPENERS["spectra.open"]) & set(OPENERS["volumes.open"])
    assert not set(EXPORTS) & {end for ends in OPENERS.values() for end in ends}


@pytest.mark.parametrize("end", ["bcf", "dm4", "wdf", "emd", "hspy", "pts"])
def test_spectra_are_sent_to_their_package(end: str, tmp_path: Path) -> None:
    path = tmp_path / f"map.{end.upper()}"
    if end in ("emd", "hspy"):
        with h5py.File(path, "w") as file:
            file["data"] = np.zeros((3, 4))
    else:
        path.write_bytes(b"any content")
    with pytest.raises(FileReadError, match=r"; open it with spectra\.open$"):
        volumes.open(path)


@pytest.mark.parametrize("end", ["czi", "tif", "nd2", "lif", "mrc", "ibw", "mat", "png"])
def test_images_are_sent_to_their_package(end: str, tmp_path: Path) -> None:
    (tmp_path / f"stack.{end}").write_bytes(b"any content")
    with pytest.raises(FileReadError, match=r"; open it with volumes\.open$"):
        spectra.open(tmp_path / f"stack.{end}")


@pytest.mark.parametrize("wing", [spectra, volumes])
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("map.l6m", "XML in LabSpec 6"),
        ("scan.xlef", "lof files that it lists"),
        ("volume.nrrd", "save it as TIFF or MRC"),
        ("scan.sxm", "Gwyddion"),
        ("map.oipx", "Ripple"),
        ("map.xyz", r"accepts .*(NetCDF|MRC).*; .* open with (spectra|volumes)\.open$"),
    ],
)
def test_formats_that_nobody_reads_say_how_to_export(wing: Any, name: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"any content")
    with pytest.raises(FileReadError, match=advice):
        wing.open(tmp_path / name)


def test_a_folder_of_slices_is_sent_to_its_package(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"open a folder of slices with volumes\.open"):
        spectra.open(tmp_path)
