"""EDAX maps and spectra (spd with spc and ipr, spc alone): files in the layout that RosettaSciIO's reader describes."""

import numpy as np
import pytest

import fusion
import spectra
from fusion import FileReadError
from tests.makers.edax import COUNTS, spc, spd

COUNTS[1, 2, 5], COUNTS[0, 1, 7] = 400, 3


def test_map(tmp_path):
    ds = spectra.open(spd(tmp_path / "a.spd"))
    assert ds["counts"].dims == ("y", "x", "energy")
    assert ds["counts"].chunks is not None
    np.testing.assert_array_equal(ds["counts"], COUNTS)
    assert int(ds["counts"].sel(y=0.25, x=1.0).sel(energy=0.2, method="nearest")) == 400
    np.testing.assert_allclose(ds["energy"], 0.1 + 0.02 * np.arange(8))
    np.testing.assert_array_equal(ds["x"], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(ds["y"], [0.0, 0.25])
    assert [ds[dim].attrs["units"] for dim in ("y", "x", "energy")] == ["um", "um", "keV"]
    assert (ds.attrs["technique"], ds.attrs["beam_energy"], ds.attrs["elements"]) == ("EDX", 15.0, ["Fe", "O"])
    assert ds["counts"].attrs["units"] == "count"
    assert fusion.check(ds) is ds


def test_spectrum(tmp_path):
    ds = spectra.open(spc(tmp_path / "a.spc", [0, 1, 2, 3, 4, 50]))
    np.testing.assert_array_equal(ds["counts"], [0, 1, 2, 3, 4, 50])
    assert float(ds["counts"].idxmax("energy")) == pytest.approx(0.2)


def test_map_without_the_files_beside_it_says_so(tmp_path):
    ds = spectra.open(spd(tmp_path / "a.spd", calibrated=False, placed=False))
    assert ds[next(iter(ds.data_vars))].dims == ("y", "x", "channel")
    assert ds["x"].attrs["units"] == "px"
    np.testing.assert_array_equal(ds["x"], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("count", [np.uint8, np.uint32])
def test_bytes_of_a_count(tmp_path, count):
    ds = spectra.open(spd(tmp_path / "a.spd", (COUNTS % 200).astype(count)))
    np.testing.assert_array_equal(ds["counts"], COUNTS % 200)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.92, 0.95, 0.98, 1.0])
@pytest.mark.parametrize("kind", ["spd", "spc"])
def test_a_cut_file_is_refused(tmp_path, share, kind):
    path = spd(tmp_path / "a.spd") if kind == "spd" else spc(tmp_path / "a.spc", np.ones(4096))
    whole = path.read_bytes()
    end = len(whole) if kind == "spd" else 3840 + 4 * 4096
    path.write_bytes(whole[: max(1, int(share * (end - 1)))])
    with pytest.raises(FileReadError, match=f"a.{kind}"):
        spectra.open(path)


def test_a_calibration_cut_short_beside_a_map_is_refused(tmp_path):
    path = spd(tmp_path / "a.spd")
    spectrum = path.with_suffix(".spc")
    spectrum.write_bytes(spectrum.read_bytes()[:300])
    with pytest.raises(FileReadError, match=r"a\.spd"):
        spectra.open(path)
