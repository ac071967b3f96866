"""`conspectus.open`: everything that a file holds, whichever package reads it."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

import conspectus
import fusion
import spectra
import volumes
from fusion import Axis, FileReadError, get_pose
from tests.makers import localisations

Find = Callable[[str], Path]

HELD = {
    "edx/P45_the_default_job.bcf": ["BSE", "SE", "EDX"],
    "raman/renishaw_test_map.wdf": ["Simple mapping measurement", "white light"],
    "correlative_cl_sem/odemis_spectrum_fitting.h5": ["SEM CL", "Spectrum", "SEM survey"],
    "correlative_eds_haadf_velox/fei_emd_si.emd": ["HAADF", "EDS"],
}


@pytest.mark.parametrize("name", HELD)
def test_every_item_of_a_file_is_a_node_in_the_frame_of_that_file(name: str, measured: Find, direct: None) -> None:
    tree = conspectus.open(measured(name))
    assert list(tree.children) == HELD[name]
    datasets = {key: node.to_dataset() for key, node in tree.children.items()}
    assert len({get_pose(ds)[1] for ds in datasets.values()}) == 1
    for key, ds in datasets.items():
        xr.testing.assert_identical(fusion.check(ds).drop_attrs(), spectra.open(measured(name), name=key).drop_attrs())


def test_the_columns_of_localisations_are_one_node(tmp_path: Path) -> None:
    path = localisations.thunderstorm(tmp_path, "1,1,10.0,20.0,120.0,500.0,10.0,3.0,1.1,8.0")
    tree = conspectus.open(path)
    assert list(tree.children) == ["dna"]
    xr.testing.assert_identical(tree["dna"].to_dataset().drop_attrs(), volumes.open(path).drop_attrs())


def test_an_image_needs_no_knowledge_of_the_packages(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "sem.tif", np.arange(12, dtype=np.uint8).reshape(3, 4))
    tree = conspectus.open(tmp_path / "sem.tif")
    assert list(tree.children) == ["sem"]
    assert "left_out" not in tree.attrs
    np.testing.assert_array_equal(tree["sem/image"], np.arange(12).reshape(3, 4))


def mixed(folder: Path) -> Path:
    """Write arrays of which one cannot be labelled: its three axes have no names."""
    with h5py.File(folder / "mixed.h5", "w") as file:
        file["entry/image"] = np.ones((3, 4))
        file["entry/cube"] = np.ones((3, 4, 5))
    return folder / "mixed.h5"


def test_what_is_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    tree = conspectus.open(mixed(tmp_path))
    assert list(tree.children) == ["entry_image"]
    (line,) = tree.attrs["left_out"].splitlines()
    assert line.startswith("entry/cube: ")
    assert "dims=" in line


def test_one_item_by_either_of_its_names(tmp_path: Path) -> None:
    for name in ("entry_image", "entry/image"):
        assert dict(conspectus.open(mixed(tmp_path), name=name).sizes) == {"y": 3, "x": 4}
    with pytest.raises(FileReadError, match="holds no item 'map'; name one of 'entry/cube', 'entry/image'"):
        conspectus.open(mixed(tmp_path), name="map")


def test_a_project_comes_back_node_by_node(tmp_path: Path) -> None:
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
    ds = fusion.dataset({"image": (("y", "x"), np.eye(2))}, axes, name="sem", cell_methods="mean")
    whole = xr.DataTree.from_dict({"/sem": ds, "/afm": ds})
    assert conspectus.open(fusion.save(whole, tmp_path / "project.nc")).identical(whole)
    assert conspectus.open(fusion.save(ds, tmp_path / "one.nc"), name="sem").identical(ds)
    with pytest.raises(FileReadError, match="name one of 'sem', 'afm'"):
        conspectus.open(tmp_path / "project.nc", name="map")


def test_a_file_that_neither_package_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match="no such file"):
        conspectus.open(tmp_path / "missing.bcf")
    (tmp_path / "map.xyz").write_text("hello")
    with pytest.raises(FileReadError, match="unknown format"):
        conspectus.open(tmp_path / "map.xyz")
