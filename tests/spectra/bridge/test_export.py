"""Spectra in HyperSpy's own files, read by HyperSpy; and NeXus files in the eyes of its reader."""

from pathlib import Path

import hyperspy.api as hs
import numpy as np
import pytest
import rsciio.nexus
import xarray as xr

import fusion
import spectra
from conspectus import cli, export
from fusion import Axis


def spectral_map() -> xr.Dataset:
    counts = np.random.default_rng(0).poisson(3.0, (3, 4, 20)).astype(np.uint16)
    axes = {"y": Axis("um", 0.5, 1.0), "x": Axis("um", 0.25, -2.0), "energy": Axis("keV", 0.01, 0.2)}
    return fusion.dataset({"counts": (("y", "x", "energy"), counts)}, axes, name="map", cell_methods="sum")


def test_hyperspy_reads_its_file(tmp_path: Path) -> None:
    ds = spectral_map()
    signal = hs.load(export(ds, tmp_path / "map.hspy"))
    np.testing.assert_array_equal(signal.data, ds["counts"])
    energy = signal.axes_manager.signal_axes[0]
    assert (energy.units, energy.scale, energy.offset) == ("keV", pytest.approx(0.01), pytest.approx(0.2))
    x = signal.axes_manager.navigation_axes[0]
    assert (x.units, x.scale, x.offset) == ("um", pytest.approx(0.25), pytest.approx(-2.0))
    again = spectra.open(tmp_path / "map.hspy")
    np.testing.assert_array_equal(again["counts" if "counts" in again else next(iter(again.data_vars))], ds["counts"])


def test_only_files_of_hyperspy(tmp_path: Path) -> None:
    with pytest.raises(fusion.StoreError, match=r"ends in none of \.hspy"):
        spectra.export(spectral_map(), tmp_path / "map.msa")


def test_the_nexus_reader_of_hyperspy_finds_the_data(tmp_path: Path) -> None:
    ds = spectral_map()
    read = rsciio.nexus.file_reader(export(ds, tmp_path / "map.nxs"), nxdata_only=True)[0]
    np.testing.assert_array_equal(read["data"], ds["counts"])
    assert {axis["name"]: axis["units"] for axis in read["axes"]} == {"y": "um", "x": "um", "energy": "keV"}
    scales = {axis["name"]: axis["scale"] for axis in read["axes"]}
    assert scales == {"y": pytest.approx(0.5), "x": pytest.approx(0.25), "energy": pytest.approx(0.01)}


@pytest.mark.parametrize("name", ["a.nc", "a.nxs", "a.vti", "a.vtkhdf", "a.tif", "a.ome.zarr", "a.hspy"])
@pytest.mark.filterwarnings("ignore")
def test_one_command_writes_them_all(tmp_path: Path, name: str) -> None:
    image = spectral_map()["counts"].sum("energy", keep_attrs=True).astype(np.float32).to_dataset(name="image")
    ds = spectral_map() if name == "a.hspy" else image.assign_coords(pose=spectral_map()["pose"])
    saved = fusion.save(fusion.check(ds.assign_attrs(title="a")), tmp_path / "saved.nc")
    assert cli.main(["export", str(saved), "-o", str(tmp_path / "out" / name)]) == 2
    (tmp_path / "out").mkdir()
    assert cli.main(["export", str(saved), "-o", str(tmp_path / "out" / name)]) == 0
    assert (tmp_path / "out" / name).exists()


def test_one_variable_of_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = fusion.save(spectral_map(), tmp_path / "saved.nc")
    assert cli.main(["export", str(saved), "--variable", "count", "-o", str(tmp_path / "a.nc")]) == 2
    assert "has no variable 'count'" in capsys.readouterr().err
    assert cli.main(["export", str(saved), "--variable", "counts", "-o", str(tmp_path / "a.hspy")]) == 0
