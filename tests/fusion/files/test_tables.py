"""CSV and NeXus: read back by pandas, by h5py along the rules of NXdata, and by our own reader."""

from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import xarray as xr

import fusion
from fusion import Axis
from tests.makers.datasets import rich, small


def points() -> xr.Dataset:
    rng = np.random.default_rng(0)
    place = {dim: ("point", rng.normal(size=4), {"units": "um"}) for dim in "zyx"}
    photons = rng.uniform(1, 1e5, 4)
    photons[2] = np.nan
    ds = xr.Dataset({"photons": ("point", photons, {"units": "count"})}, place, {"title": "points"})
    return ds.assign(kind=("point", ["a", 'b "quoted", with comma', "ü", ""]))


def test_a_table_of_points_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    ds = points()
    read = pandas.read_csv(fusion.export(ds, tmp_path / "points.csv"))
    assert list(read.columns) == ["z (um)", "y (um)", "x (um)", "photons (count)", "kind"]
    for column, name in [("z (um)", "z"), ("photons (count)", "photons")]:
        np.testing.assert_array_equal(read[column], ds[name])
    assert read["kind"].fillna("").tolist() == ds["kind"].values.tolist()


def test_a_second_dim_becomes_columns(tmp_path: Path) -> None:
    ds = rich()[["endmember"]]
    read = pandas.read_csv(fusion.export(ds, tmp_path / "e.csv"))
    assert len(read) == 2
    assert read["component"].tolist() == ["hématite", "corundum"]
    np.testing.assert_array_equal(read.iloc[:, 1:], ds["endmember"])


def test_an_image_is_no_table_of_several_variables(tmp_path: Path) -> None:
    with pytest.raises(fusion.ConventionError, match=r"choose some of them with ds\[\["):
        fusion.export(rich(), tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_no_writer_knows(tmp_path: Path) -> None:
    with pytest.raises(fusion.StoreError, match=r"ends in none of \.nc, \.csv, \.nxs"):
        fusion.export(small(), tmp_path / "a.xlsx")


def test_an_older_file_stays_when_the_new_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fusion.export(points(), tmp_path / "p.csv")
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(fusion.StoreError, match="No space left on device"):
        fusion.export(points().isel(point=[0]), path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["p.csv"]


def test_every_variable_is_an_nxdata_with_its_axes(tmp_path: Path) -> None:
    ds = rich()
    with h5py.File(fusion.export(ds, tmp_path / "r.nxs")) as file:
        assert file.attrs["default"] == "entry"
        entry = file["entry"]
        assert entry.attrs["NX_class"] == "NXentry"
        data = entry[entry.attrs["default"]]
        assert (data.attrs["NX_class"], data.attrs["signal"]) == ("NXdata", "counts")
        assert list(data.attrs["axes"]) == ["y", "x", "energy"]
        np.testing.assert_array_equal(data["counts"], ds["counts"])
        np.testing.assert_array_equal(data["energy"], ds["energy"])
        assert data["energy"].attrs["units"] == "keV"
        assert data.attrs["energy_indices"] == 2
        np.testing.assert_allclose(entry["pose/matrix"], fusion.get_pose(ds)[0].matrix)  # type: ignore[union-attr]


def test_standard_errors_are_the_errors_of_nexus(tmp_path: Path) -> None:
    axes = {d: Axis("um", 1.0) for d in "yx"}
    values = {"share": (("y", "x"), np.ones((2, 3))), "share_stderr": (("y", "x"), np.full((2, 3), 0.1))}
    ds = fusion.dataset(values, axes, name="v", cell_methods="mean")
    with h5py.File(fusion.export(ds.chunk(1), tmp_path / "r.nxs")) as file:
        assert [name for name in file["entry"] if name != "title"] == ["pose", "share"]
        np.testing.assert_array_equal(file["entry/share/share_errors"], ds["share_stderr"])
