"""GeoPIXE exports: against the spectra that another program read from the same file, and files written here."""

import json

import numpy as np
import pytest

import fusion
import spectra
from fusion import FileReadError
from tests.makers.geopixe import write

GEOPIXE, REFERENCE = "xrf/ts2_01_sub_export.GeoPIXE", "xrf/ts2_01_sub_export_pxspec.npy"


@pytest.fixture
def counts() -> np.ndarray:
    found = np.zeros((2, 3, 2, 5), np.uint16)
    found[1, 2, 0, 4], found[0, 1, 1, 0], found[1, 0, 1, 3] = 65535, 2, 3
    return found


def test_measured_spectra_are_those_of_the_other_program(measured):
    ds = spectra.open(measured(GEOPIXE))
    reference = np.load(measured(REFERENCE), allow_pickle=False).reshape(2, 10, 20, 4096)
    assert ds["counts"].dims == ("y", "x", "channel", "energy")
    assert ds["counts"].chunks is not None
    assert ds["counts"].dtype == reference.dtype
    np.testing.assert_array_equal(ds["counts"], np.moveaxis(reference, 0, 2))
    assert int(ds["counts"].sum()) == 1777000


def test_measured_axes(measured):
    ds = spectra.open(measured(GEOPIXE))
    np.testing.assert_allclose(ds["x"], 28.515625 * np.arange(20))
    np.testing.assert_allclose(ds["y"], 28.504672897 * np.arange(10))
    np.testing.assert_allclose(ds["energy"], 0.01 * np.arange(4096), rtol=1e-12)
    assert [ds[dim].attrs["units"] for dim in ("y", "x", "energy")] == ["um", "um", "keV"]
    assert (ds.attrs["technique"], ds["counts"].attrs["units"]) == ("XRF", "count")
    assert json.loads(ds.attrs["original_metadata"])["X-ray Source"]["KV"] == 50.0
    assert repr(spectra.contents(measured(GEOPIXE))[0]).endswith(
        "y 10 (um), x 20 (um), channel 2 (1), energy 4096 (keV), uint16"
    )
    assert fusion.check(ds) is ds


def test_measured_iron_lies_where_it_belongs(measured):
    """Fe Ka is found in the sum at its energy: channel 0 is at 0 eV within two channels."""
    total = spectra.open(measured(GEOPIXE))["counts"].sum(["y", "x", "channel"])
    window = total.sel(energy=slice(6.2, 6.6))
    assert float(window.idxmax("energy")) == pytest.approx(6.403, abs=0.02)  # Fe Ka


def test_known_pixel(tmp_path, counts):
    ds = spectra.open(write(tmp_path / "a.GeoPIXE", counts))
    np.testing.assert_array_equal(ds["counts"], counts)
    there = ds["counts"].sel(y=200.0, x=600.0, channel=0, energy=0.08, method="nearest")
    assert int(there) == 65535


def test_one_detector_needs_no_channel(tmp_path, counts):
    ds = spectra.open(write(tmp_path / "a.geopixe", counts[:, :, :1]))
    assert ds["counts"].dims == ("y", "x", "energy")
    np.testing.assert_array_equal(ds["counts"], counts[:, :, 0])


@pytest.mark.parametrize("share", [0.0000005, 0.0005, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0])
def test_a_cut_file_is_refused(measured, tmp_path, share):
    content = measured(GEOPIXE).read_bytes()
    path = tmp_path / "cut.GeoPIXE"
    path.write_bytes(content[: max(1, int(share * (len(content) - 1)))])
    with pytest.raises(FileReadError, match=r"cut\.GeoPIXE: cut short"):
        spectra.open(path)


def test_a_file_cut_between_records_is_refused(tmp_path, counts):
    content = write(tmp_path / "a.GeoPIXE", counts).read_bytes()
    (tmp_path / "b.GeoPIXE").write_bytes(content[:-16])  # the last record is empty
    with pytest.raises(FileReadError, match="cut short: 1 of 12 spectra are missing"):
        spectra.open(tmp_path / "b.GeoPIXE")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Xres": 10**9, "Yres": 10**9}, "cut short: .* cannot hold 1000000000 x 1000000000 x 2 spectra"),
        ({"Chan": -1}, "sizes 2, 3, 2, -1"),
        ({"Chan": 10**12}, "sizes 2, 3, 2, 1000000000000"),
        ({"Chan": 3}, "damaged: channel 3 of 3 in row 1"),
        ({"Gain (eV)": float("nan")}, "a gain of nan eV"),
        ({"Width (mm)": 0.0}, r"pixels of \(0.2, 0.0\) mm"),
        ({"Xres": 2}, "outside the map or there twice"),
        ({"Dets": None}, "not a GeoPIXE export"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, counts, changes, message):
    path = write(tmp_path / "a.GeoPIXE", counts, **changes)
    with pytest.raises(FileReadError, match=message):
        spectra.open(path).compute()


def test_a_record_without_its_mark_is_refused(tmp_path, counts):
    content = write(tmp_path / "a.GeoPIXE", counts).read_bytes()
    (tmp_path / "b.GeoPIXE").write_bytes(content.replace(b"DP", b"DQ", 1))
    with pytest.raises(FileReadError, match="damaged: no record begins at byte"):
        spectra.open(tmp_path / "b.GeoPIXE")


def test_pixel_spectra_beside_it_are_not_opened(tmp_path):
    """A .npy has neither axes nor units, and may be a pickle."""
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FileReadError, match=r"unknown format '\.npy'"):
        spectra.open(tmp_path / "a.npy")


@pytest.mark.usefixtures("direct")
def test_a_file_cut_after_it_was_opened_is_told(tmp_path, counts):
    """Blocks are read when they are asked for; a file mapped into memory would end the process here."""
    path = write(tmp_path / "a.GeoPIXE", counts)
    ds = spectra.open(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileReadError, match="it was cut while it was read"):
        ds.compute()
