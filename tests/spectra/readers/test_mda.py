"""EPICS MDA: the measured file against its bytes, and files written here for what it does not hold."""

import struct
import warnings

import numpy as np
import pytest

import fusion
import spectra
from fusion import FileReadError, TruncatedFileWarning
from tests.makers.mda import SHAPE, X, Y, spectral_map, write

MDA = "xrf/aps2IDE_2xfm_0010.mda"


@pytest.fixture
def counts() -> np.ndarray:
    found = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    found[2, 1, 3] = 1000.0
    return found


def test_measured_spectra_are_those_of_the_file(measured):
    path = measured(MDA)
    content = path.read_bytes()
    rows = struct.unpack_from(">11i", content, 32 + 12)
    ds = spectra.open(path, name="dxpXMAP2xfm3:mca3")
    assert ds["counts"].dims == ("y", "x", "channel")
    assert ds["counts"].shape == (11, 11, 2000)
    assert ds["counts"].chunks is not None
    values = ds["counts"].values
    for y, x in ((0, 0), (3, 7), (10, 4)):
        (place,) = struct.unpack_from(">i", content, rows[y] + 12 + 4 * x)
        end = struct.unpack_from(">i", content, rows[y] + 16 + 4 * x)[0]
        # four detectors of 2000 floats end the scan of one point; this is the third
        expected = np.frombuffer(content, ">f4", 2000, end - 2 * 8000)
        assert place < end - 4 * 8000
        np.testing.assert_array_equal(values[y, x], expected)
    assert ds["counts"].attrs["units"] == "count"
    np.testing.assert_allclose(ds["y"], 3250.0 + 50.0 * np.arange(11))
    np.testing.assert_allclose(ds["x"], -1500.0 + 50.0 * np.arange(11))
    assert ds["x"].attrs["units"] == "um"
    assert fusion.check(ds) is ds


def test_measured_calibration_has_no_unit_and_is_handed_on(measured):
    ds = spectra.open(measured(MDA), name="dxpXMAP2xfm3:mca2")
    assert ds.attrs["channel_calibration"] == [0.0501, 0.0094, 0.0]
    np.testing.assert_array_equal(ds["channel"], np.arange(2000))


def test_measured_scalers_are_images_in_the_frame_of_the_spectra(measured):
    path = measured(MDA)
    image, mca = (spectra.open(path, name=f"dxpXMAP2xfm3:{name}") for name in ("ROISUM_8", "mca1"))
    np.testing.assert_array_equal(image["image"][0, :4], [608, 607, 550, 624])
    np.testing.assert_array_equal(fusion.between(image, mca).matrix, np.eye(4))
    current = spectra.open(path, name="S:SRcurrentAI")["image"]
    assert (current.attrs["units"], current.attrs["long_name"]) == ("mA", "SR Current")


def test_measured_contents(measured):
    found = spectra.contents(measured(MDA))
    assert len(found) == 69 + 4
    assert repr(found[-1]) == "dxpXMAP2xfm3:mca4: spectroscopy, y 11 (um), x 11 (um), channel 2000 (1), float32"
    assert {item.technique for item in found} == {"image", "spectroscopy"}
    with pytest.raises(FileReadError, match="4 of its 73 items are spectral; say which"):
        spectra.open(measured(MDA))


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.002, 0.1, 0.3, 0.5, 0.9, 0.98, 0.99, 1.0])
def test_a_cut_file_is_refused(measured, tmp_path, share):
    content = measured(MDA).read_bytes()
    path = tmp_path / "cut.mda"
    path.write_bytes(content[: int(share * (len(content) - 1))])
    with pytest.raises(FileReadError, match=r"cut\.mda: cut short or damaged"):
        spectra.open(path, name="dxpXMAP2xfm3:mca1")


def test_known_point_at_a_known_place(tmp_path, counts):
    ds = spectra.open(write(tmp_path / "a.mda", spectral_map(counts)), name="ioc:mca1")
    there = ds["intensity"].sel(y=1000.0, x=100.0, method="nearest")
    assert float(there[3]) == 1000.0
    np.testing.assert_array_equal(ds["intensity"], counts[::-1])  # y descends in the file
    np.testing.assert_array_equal(ds["y"], [1000.0, 1500.0, 2000.0])
    assert "channel_calibration" not in ds.attrs


def test_rows_measured_backwards_are_put_in_order(tmp_path, counts):
    path = write(tmp_path / "a.mda", spectral_map(counts, backwards=(1,), jitter=0.01))
    ds, image = spectra.open(path, name="ioc:mca1"), spectra.open(path, name="ioc:scaler.S2")
    np.testing.assert_array_equal(ds["intensity"], counts[::-1])
    np.testing.assert_array_equal(image["image"], counts.sum(axis=-1)[::-1])
    np.testing.assert_allclose(ds["x"], [10.0, 110.0, 210.0, 310.0])  # the mean of 0, 0.01 and 0.02 mm


def test_rows_on_no_common_grid_are_refused(tmp_path, counts):
    path = write(tmp_path / "a.mda", spectral_map(counts, jitter=0.06))
    with pytest.raises(FileReadError, match="positions along x differ between rows by more than half a step"):
        spectra.open(path, name="ioc:mca1")


def test_energy_where_the_file_gives_the_unit(tmp_path, counts):
    said = {"ioc:mca1.CALO": (50.0, ""), "ioc:mca1.CALS": (10.0, ""), "ioc:mca1.CALQ": (0.5, "")}
    path = write(tmp_path / "a.mda", spectral_map(counts), {**said, "ioc:mca1.EGU": ("eV", "")})
    ds = spectra.open(path, name="ioc:mca1")
    channel = np.arange(5)
    np.testing.assert_allclose(ds["energy"], (50.0 + 10.0 * channel + 0.5 * channel**2) / 1000.0)
    assert (ds["energy"].attrs["units"], ds["counts"].attrs["units"]) == ("keV", "count")
    bare = spectra.open(write(tmp_path / "b.mda", spectral_map(counts), said), name="ioc:mca1")
    assert bare["counts"].dims == ("y", "x", "channel")
    assert bare.attrs["channel_calibration"] == [50.0, 10.0, 0.5]


@pytest.mark.parametrize("change", [{"done": 2}, {"short_row": 2}])
def test_a_stopped_scan_has_the_rows_that_were_finished(tmp_path, counts, change):
    path = write(tmp_path / "a.mda", spectral_map(counts, **change), unfinished=True)
    with pytest.warns(TruncatedFileWarning, match=r"a\.mda: the measurement was stopped.* 2 of 3 rows were finished"):
        ds = spectra.open(path, name="ioc:mca1")
    np.testing.assert_array_equal(ds["intensity"], counts[1::-1])
    np.testing.assert_array_equal(ds["y"], [1500.0, 2000.0])
    assert ds.attrs["truncated"] == "2 of 3 rows were finished"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "truncated" not in spectra.open(write(tmp_path / "b.mda", spectral_map(counts)), name="ioc:mca1").attrs


@pytest.mark.parametrize("change", [{"done": 0}, {"short_row": 0}])
def test_a_scan_without_a_finished_row_is_refused(tmp_path, counts, change):
    with pytest.raises(FileReadError, match="stopped before its first row was finished"):
        spectra.open(write(tmp_path / "a.mda", spectral_map(counts, **change)), name="ioc:mca1")


def test_a_scan_of_the_energy(tmp_path):
    motor = ("ioc:mono.VAL", "Energy", "eV", [7100.0, 7110.0, 7120.0])
    path = write(tmp_path / "a.mda", (4, 3, [(*motor[:3], [*motor[3], 0.0])], [("ioc:I1", "", "V", [1, 2, 3, 0])], []))
    with pytest.warns(TruncatedFileWarning, match="3 of 4 rows"):
        ds = spectra.open(path)
    np.testing.assert_allclose(ds["energy"], [7.1, 7.11, 7.12])
    np.testing.assert_array_equal(ds["intensity"], [1, 2, 3])


def test_three_motors_make_a_volume(tmp_path):
    values = np.arange(24.0).reshape(2, 3, 4)
    line = [[(4, 4, [(*X, [0, 1, 2, 3])], [("ioc:d", "", "", row)], []) for row in plane] for plane in values]
    planes = [(3, 3, [(*Y, [0, 1, 2])], [], rows) for rows in line]
    ds = spectra.open(write(tmp_path / "a.mda", (2, 2, [("ioc:m3.VAL", "stage z", "um", [5, 6])], [], planes)))
    np.testing.assert_array_equal(ds["image"], values)
    assert ds["image"].dims == ("z", "y", "x")
    np.testing.assert_array_equal(ds["z"], [5.0, 6.0])


@pytest.mark.parametrize(
    ("motor", "message"),
    [
        (
            ("ioc:m1.VAL", "Sample X", "deg"),
            "not one alone names its axis",
        ),
        (("ioc:m1.VAL", "", "mm"), "not one alone names its axis"),
        (("ioc:m1.VAL", "XY table", "mm"), "not one alone names its axis"),
        (("ioc:m1.VAL", "Sample Y", "mm"), "two motors move along y"),
    ],
)
def test_a_motor_that_does_not_say_its_axis_is_refused(tmp_path, motor, message):
    row = (2, 2, [(*motor, [0.0, 1.0])], [("ioc:d", "", "", [1, 2])], [])
    path = write(tmp_path / "a.mda", (2, 2, [(*Y, [0.0, 1.0])], [], [row, row]))
    with pytest.raises(FileReadError, match=message):
        spectra.open(path)
    assert spectra.contents(path)[0].technique == "unreadable"


@pytest.mark.parametrize("place", range(8, 56, 4))
def test_numbers_that_do_not_fit_are_refused_before_anything_is_allocated(tmp_path, counts, place):
    content = bytearray(write(tmp_path / "a.mda", spectral_map(counts)).read_bytes())
    content[place : place + 4] = struct.pack(">i", 2**31 - 1)
    path = tmp_path / "b.mda"
    path.write_bytes(content)
    if place in (12, 16, 20, 24):  # the sizes that were planned are not asked
        assert spectra.open(path, name="ioc:mca1")["intensity"].shape == SHAPE
        return
    with pytest.raises(FileReadError, match=r"b\.mda: (a scan of rank|damaged|cut short or damaged)"):
        spectra.open(path, name="ioc:mca1")


def test_pointers_to_one_place_do_not_multiply(tmp_path):
    row = (4000, 4000, [(*X, np.arange(4000.0))], [("ioc:d", "", "", np.zeros(4000))], [])
    content = bytearray(write(tmp_path / "a.mda", (4000, 4000, [(*Y, np.arange(4000.0))], [], [row])).read_bytes())
    (first,) = struct.unpack_from(">i", content, 28 + 12)
    struct.pack_into(">4000i", content, 28 + 12, *[first] * 4000)
    (tmp_path / "b.mda").write_bytes(content)
    with pytest.raises(FileReadError, match="cut short or damaged: it names more points than it has room for"):
        spectra.open(tmp_path / "b.mda")


def test_other_files_called_mda_are_refused(tmp_path):
    (tmp_path / "a.mda").write_bytes(struct.pack("<5i", -3, 4, 2, 3, 3) + bytes(100))
    with pytest.raises(FileReadError, match=r"not an EPICS MDA file .*known: 1.2 1.3 1.4"):
        spectra.open(tmp_path / "a.mda")


@pytest.mark.usefixtures("direct")
def test_a_file_cut_after_it_was_opened_is_told(tmp_path, counts):
    """Blocks are read when they are asked for; a file mapped into memory would end the process here."""
    path = write(tmp_path / "a.mda", spectral_map(counts))
    ds = spectra.open(path, name="ioc:mca1")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileReadError, match="cut short or damaged"):
        ds.compute()
