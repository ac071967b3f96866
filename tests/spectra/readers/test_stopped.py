"""Measurements that were stopped say so; complete files are not called damaged."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest
import xarray as xr

import spectra
from fusion import FileReadError, TruncatedFileWarning
from spectra.readers import number_tables
from spectra.readers.rosettasciio import jeol, renishaw, truncation


def witec(path, pixels, *, decimal=".", end="\n"):
    heads = [
        "\t".join(["X-Axis", *(f"scan({x}/{y})" for x, y in pixels)]),
        "\t".join(["nm", *["CCD cts"] * len(pixels)]),
    ]
    rows = ["\t".join([f"{nm:.1f}", *(f"{100 * y + x + nm:.2f}" for x, y in pixels)]) for nm in (500.0, 501.0)]
    path.write_text("\n".join([*heads, *(row.replace(".", decimal) for row in rows)]) + end)
    return path


GRID = [(x, y) for y in range(3) for x in range(4)]


@pytest.mark.parametrize("pixels", [GRID[:10], GRID[:5], [pixel for pixel in GRID if pixel != (1, 1)]])
def test_a_witec_map_with_missing_spectra_says_so(tmp_path, pixels):
    rows = max(y for _, y in pixels) + 1
    with pytest.warns(TruncatedFileWarning, match="the measurement was stopped"):
        ds = spectra.open(witec(tmp_path / "a.txt", pixels))
    assert ds.attrs["truncated"] == f"{len(pixels)} of {4 * rows} spectra were measured"
    assert int(np.isnan(ds["intensity"]).all("wavelength").sum()) == 4 * rows - len(pixels)


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("decimal", [".", ","])
def test_a_complete_witec_map_is_read_with_points_and_commas(tmp_path, decimal, end):
    ds = spectra.open(witec(tmp_path / "a.txt", GRID, decimal=decimal, end=end))
    assert "truncated" not in ds.attrs
    np.testing.assert_array_equal(ds["intensity"][2, 3], [703.0, 704.0])


def test_marks_of_thousands_are_refused_as_such(tmp_path):
    path = witec(tmp_path / "a.txt", GRID)
    path.write_text(path.read_text().replace("500.0", "1,500.0"))
    with pytest.raises(FileReadError, match=r"decimal commas.*export it with decimal points"):
        spectra.open(path)


def test_the_last_digit_is_missed(tmp_path):
    path = witec(tmp_path / "a.txt", GRID, end="")
    path.write_text(path.read_text()[:-1])
    with pytest.raises(FileReadError, match="cut short within line 4"):
        spectra.open(path)
    assert number_tables.ends_within_a_number(["1 2\n", "3 4"])


def wdf(path, planned, ticks):
    """Write the header and the block ORGN of a Renishaw file, with nothing but the times of its spectra."""
    series = struct.pack("<II16s", 11 | 1 << 31, 24, b"Time") + np.asarray(ticks, "<i8").tobytes()
    origin = struct.pack("<4sIQ", b"ORGN", 0, 16 + 4 + len(series)) + struct.pack("<I", 1) + series
    header = bytearray(512)
    header[:16] = struct.pack("<4sIQ", b"WDF1", 1, 512)
    struct.pack_into("<QQ", header, 64, planned, len(ticks))
    path.write_bytes(bytes(header) + origin)
    return path


def raw(*sizes, name="Time"):
    first = [{"name": name, "size": sizes[0], "units": "ns", "scale": 1.0, "offset": 0.0}]
    return {
        "data": np.ones(sizes),
        "axes": first + [{"name": f"a{i}", "size": size} for i, size in enumerate(sizes[1:])],
    }


@pytest.mark.parametrize("ticks", [[0, 10**7, 35 * 10**6], [132_000_000_000_000_000 + t for t in (0, 5, 90_000_000)]])
def test_times_of_renishaw_are_ticks_of_100_ns(tmp_path, ticks):
    (series,) = renishaw.timed([raw(3, 5)], wdf(tmp_path / "a.wdf", 3, ticks))
    np.testing.assert_allclose(series["axes"][0]["axis"], (np.array(ticks) - ticks[0]) / 1e7)
    assert series["axes"][0]["units"] == "s"
    assert "attrs" not in series


@pytest.mark.parametrize(
    ("sizes", "measured", "planned", "words"),
    [
        ((3, 4, 9), 12, 16, "12 of 16 spectra were measured"),
        ((2, 4, 9), 11, 40, "of which 3 in an incomplete row are left"),
    ],
)
def test_a_stopped_map_of_renishaw_says_so(tmp_path, sizes, measured, planned, words):
    spectra_of_map, image = renishaw.timed(
        [raw(*sizes, name="Y"), raw(6, 7, name="Y")], wdf(tmp_path / "a.wdf", planned, range(measured))
    )
    assert words in spectra_of_map["attrs"]["truncated"]
    assert "attrs" not in image


@pytest.mark.parametrize(
    ("name", "planned", "kept", "dim"),
    [("renishaw_test_timeseries", 3, 2, "time"), ("renishaw_test_zscan", 40, 31, "z")],
)
def test_a_stopped_series_of_renishaw_opens_as_far_as_it_goes(measured, tmp_path, name, planned, kept, dim):
    """The number of spectra that were measured is lowered: what was planned keeps its room in the file."""
    whole = measured(f"raman/{name}.wdf")
    content = bytearray(whole.read_bytes())
    assert struct.unpack_from("<QQ", content, 64) == (planned, planned)
    struct.pack_into("<Q", content, 72, kept)
    (tmp_path / "stopped.wdf").write_bytes(content)
    with pytest.warns(TruncatedFileWarning, match=f"{kept} of {planned} spectra were measured"):
        ds = spectra.open(tmp_path / "stopped.wdf")
    xr.testing.assert_equal(ds["intensity"], spectra.open(whole)["intensity"].isel({dim: slice(kept)}))


def test_measured_renishaw_files(measured):
    with pytest.warns(TruncatedFileWarning, match="12 of 16 spectra"):
        ds = spectra.open(measured("raman/renishaw_interrupted.wdf"), name="StreamHR image acquisition")
    assert ds.attrs["truncated"] == "12 of 16 spectra were measured"
    np.testing.assert_allclose(
        spectra.open(measured("raman/renishaw_test_timeseries.wdf"))["time"], [0, 3.088, 6.133], atol=1e-3
    )


def pts(path, *, sweeps, lines, whole, height=8):
    """Write the first bytes of a JEOL map and return what RosettaSciIO would read of it."""
    content = bytearray(struct.pack("<I", 304) + b"PTTDFILE" + bytes(52))
    struct.pack_into("<II", content, 28, 32, len(content) if whole else len(content) - 32)
    path.write_bytes(bytes(content))
    document = {"Sweep": sweeps, "ScanLine": lines}
    original = {"PTTD Data": {"AnalyzableMap MeasData": {"Doc": document}}}
    return [{"axes": [{"name": "y", "size": height}], "original_metadata": original}]


@pytest.mark.parametrize(
    ("sweeps", "lines", "words"), [(3, 8, "complete sweeps: 3"), (3, 5, "complete sweeps: 2; the 5")]
)
def test_a_map_of_jeol_that_was_stopped_is_no_damaged_one(tmp_path, sweeps, lines, words):
    raws = pts(tmp_path / "a.pts", sweeps=sweeps, lines=lines, whole=True)
    truncation.require_complete(tmp_path / "a.pts", "jeol")
    assert words in jeol.complete_sweeps(raws, tmp_path / "a.pts")[0]["attrs"]["truncated"]


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_map_of_jeol_that_was_stopped_in_its_first_sweep_is_read_so_far(tmp_path, measured, share):
    content = bytearray(measured("edx/jeol_stopped/Dummy-Data_0000023.pts").read_bytes())
    (start,) = struct.unpack_from("<I", content, 28)
    content = content[: start + 4 * int(share * (len(content) - start) / 4)]
    struct.pack_into("<I", content, 32, len(content))
    for found in re.finditer(rb"(Sweep|ScanLine)\x00\x02\x00\x00\x00\x02\x00\x00\x00", bytes(content)):
        struct.pack_into("<H", content, found.end(), 1 if found[1] == b"Sweep" else 20)
    (tmp_path / "a.pts").write_bytes(bytes(content))
    with pytest.warns(TruncatedFileWarning, match="the first sweep ended in line 20 of 64"):
        ds = spectra.open(tmp_path / "a.pts")
    with pytest.warns(TruncatedFileWarning, match="complete sweeps: 1"):
        total = spectra.open(measured("edx/jeol_stopped/Dummy-Data_0000023.pts"))["counts"]
    assert ds["counts"].dims == ("y", "x", "energy")
    rows = int((ds["counts"].sum(["x", "energy"]) > 0).values.nonzero()[0].max())
    np.testing.assert_array_equal(ds["counts"][: rows - 1], total[: rows - 1])
    assert 0.9 * share < float(ds["counts"].sum() / total.sum()) < 1.1 * share


def test_a_complete_map_of_jeol_says_nothing_and_a_cut_one_is_damaged(tmp_path):
    raws = pts(tmp_path / "a.pts", sweeps=3, lines=8, whole=False)
    assert jeol.complete_sweeps(raws, tmp_path / "a.pts") == raws
    truncation.require_complete(tmp_path / "a.pts", "jeol")
    (tmp_path / "a.pts").write_bytes((tmp_path / "a.pts").read_bytes()[:-1])
    with pytest.raises(FileReadError, match="cut short"):
        truncation.require_complete(tmp_path / "a.pts", "jeol")


def test_measured_maps_of_jeol(measured):
    for name, counts in (("Dummy-Data_0000015", 2537), ("Dummy-Data_0000023", 2709)):
        with pytest.warns(TruncatedFileWarning):
            ds = spectra.open(measured(f"edx/jeol_stopped/{name}.pts"))
        assert int(ds["counts"].sum()) == counts


def test_a_series_whose_heights_do_not_rise_runs_over_time(tmp_path):
    path = wdf(tmp_path / "a.wdf", 3, [0, 10**7, 3 * 10**7])
    invariant = {"data": np.ones((3, 5)), "axes": [{"name": "Z", "size": 3}, {"name": "Wavelength", "size": 5}]}
    rising = {**invariant, "axes": [{"name": "Z", "size": 3, "scale": 0.5, "offset": 0.0}, invariant["axes"][1]]}
    for name in ("Z", "FocusTrack_Z"):
        invariant["axes"][0]["name"] = name
        (series,) = renishaw.timed([invariant], path)
        assert series["axes"][0]["name"] == "time"
        np.testing.assert_allclose(series["axes"][0]["axis"], [0.0, 1.0, 3.0])
    assert renishaw.timed([rising], path)[0]["axes"][0] == rising["axes"][0]


def test_a_project_of_jeol_says_which_of_its_maps_were_stopped(tmp_path):
    folder = tmp_path / "Sample" / "00_View"
    folder.mkdir(parents=True)
    raws = pts(folder / "b.pts", sweeps=3, lines=5, whole=True)
    listed = [{"axes": [{"name": "y", "size": 8}], "metadata": {"General": {"original_filename": "a.img"}}}]
    listed += [{**raw, "metadata": {"General": {"original_filename": "b.pts"}}} for raw in raws]
    image, map_ = jeol.complete_sweeps(listed, tmp_path / "a.asw")
    assert "attrs" not in image
    assert "complete sweeps: 2; the 5 of 8" in map_["attrs"]["truncated"]
