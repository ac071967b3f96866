"""volumes.open on files of scanning probe microscopes, against a plain reading of their bytes."""

import json
import sys

import gwyfile
import numpy as np
import pytest
from igor2 import binarywave

import fusion
import volumes
from fusion.errors import FileReadError
from tests.makers.probes import nid, write_gwyddion, write_jpk, write_nanoscope
from volumes.readers.probes import gwyddion, igor, scan

DI, IBW, NID, SECM = (
    "afm/di-1.di",
    "afm/spot_1-1000nm.ibw",
    "afm/nsfopen/MoS2.nid",
    "correlative_secm_sem/AlAr_data.txt",
)
CENTRE = [0.0, 0.0, 0.0]


def um(ds, dim):
    assert ds[dim].attrs["units"] == "um"
    return ds[dim].values


def pose(ds):
    return fusion.get_pose(ds)[0]


class TestNanoscope:
    def test_values_are_those_of_the_bytes(self, measured):
        path = measured(DI)
        ds = fusion.check(volumes.open(path))
        raw = np.frombuffer(path.read_bytes()[40960:], "<i2").reshape(4, 512, 512)
        volts = {"height": 2.910461, "height_interleave_retrace": 329.9950}
        for layer, (name, full) in enumerate(volts.items()):
            np.testing.assert_allclose(ds[name], raw[layer] / 65536 * full * 20.82646e-3, rtol=1e-12)
        np.testing.assert_allclose(ds["phase"], raw[2] / 65536 * 359.9945, rtol=1e-12)
        np.testing.assert_allclose(ds["amplitude_error"], raw[3] / 65536 * 3999.939, rtol=1e-12)
        assert {name: array.attrs["units"] for name, array in ds.items()} == {
            "height": "um", "height_interleave_retrace": "um", "phase": "degree", "amplitude_error": "mV",
        }  # fmt: skip

    def test_axes_pose_and_what_the_file_says(self, measured):
        ds = volumes.open(measured(DI), name="height")
        step = 0.5 / 512
        np.testing.assert_allclose(um(ds, "x"), (np.arange(512) - 255.5) * step)
        np.testing.assert_allclose(um(ds, "y"), (np.arange(512) - 255.5) * step)
        np.testing.assert_allclose(
            pose(ds)([0.0, 0.0, 0.2]), [0.0, 0.2, 0.0], atol=1e-5
        )  # 1.5708 rad: x is the y of the stage
        assert fusion.get_pose(ds)[1].startswith("stage of di-1.di")
        said = {key: ds.attrs[key] for key in ("technique", "instrument", "imaging_mode")}
        assert said == {"technique": "AFM", "instrument": "Bruker Dimension V", "imaging_mode": "tapping"}
        assert ds["height"].attrs["cell_methods"] == "y: x: point"
        assert json.loads(ds.attrs["original_metadata"])["scan"]["Scan Rate"] == "0.996492"

    def test_a_known_pixel_lies_at_a_known_place(self, tmp_path):
        path = write_nanoscope(tmp_path, size="2000 1000 nm", offset="500 nm")
        ds = volumes.open(path)
        assert ds.sizes == {"y": 4, "x": 5}
        assert (ds.attrs["technique"], ds.attrs.get("imaging_mode")) == ("AFM", "contact")
        here = ds["height"].sel(
            y=-0.375, x=0.4, method="nearest"
        )  # first line, third step of 0.4 um right of the centre
        assert float(here) == pytest.approx(3 * 10.0 / 65536 * 20.0 * 1e-3)
        np.testing.assert_allclose(pose(ds)(CENTRE), [0.0, 0.0, 0.5])

    def test_equal_sizes_are_cut_by_the_aspect_ratio(self, tmp_path):
        ds = volumes.open(write_nanoscope(tmp_path, size="2000 2000 nm", aspect="4:1"))
        assert np.ptp(um(ds, "y")) == pytest.approx(0.5 * 3 / 4)

    def test_four_bytes_of_storage_scaled_as_two(self, tmp_path):
        """Version 9 stores 32 bits whatever the scale is made for."""
        two, four = (volumes.open(write_nanoscope(tmp_path, dtype=dtype)) for dtype in ("<i2", "<i4"))
        np.testing.assert_array_equal(two["height"], four["height"])

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ({"angle": "90"}, "not in radians"),
            ({"scale": "3 nm"}, "does not tell the scale"),
            ({"sens": "[Sens. Missing]"}, "sensitivity 'Sens. Missing'"),
            ({"size": "500"}, "is no length"),
        ],
    )
    def test_refused(self, tmp_path, said, reason):
        with pytest.raises(FileReadError, match=reason):
            volumes.open(write_nanoscope(tmp_path, **said))

    def test_force_curves_are_no_image(self, tmp_path):
        (tmp_path / "force.spm").write_bytes(b"\\*Force file list\r\n\\*File list end\r\n\x1a")
        with pytest.raises(FileReadError, match="force curves"):
            volumes.open(tmp_path / "force.spm")


class TestAsylum:
    def test_values_are_those_of_igor2(self, measured):
        path = measured(IBW)
        ds = fusion.check(volumes.open(path))
        wave = binarywave.load(str(path))["wave"]["wData"].astype(float)
        names = ["height", "height_retrace", "amplitude", "amplitude_retrace", "phase", "phase_retrace",
                 "nap_potential", "nap_potential_retrace"]  # fmt: skip
        assert list(ds.data_vars) == names
        factors, units = [1e6] * 4 + [1.0] * 4, ["um"] * 4 + ["degree"] * 2 + ["V"] * 2
        for layer, (name, factor, unit) in enumerate(zip(names, factors, units, strict=True)):
            np.testing.assert_allclose(ds[name].values, wave[:, :, layer].T * factor, rtol=1e-12)
            assert ds[name].attrs["units"] == unit

    def test_a_known_pixel_in_the_bytes(self, measured):
        """The wave begins 384 bytes into the file, x runs fastest, then y."""
        path = measured(IBW)
        stored = np.frombuffer(path.read_bytes(), "<f4", 256 * 256, offset=384).reshape(256, 256)
        height = volumes.open(path, name="height")["height"]
        assert float(height.isel(y=7, x=200)) == pytest.approx(float(stored[7, 200]) * 1e6)

    def test_axes_and_pose(self, measured):
        ds = volumes.open(measured(IBW))
        np.testing.assert_allclose(um(ds, "x"), np.linspace(-10, 10, 256))
        np.testing.assert_allclose(pose(ds)(CENTRE), [0.0, 0.0, -1.3397])
        turned = np.deg2rad(330)
        right = pose(ds)([0.0, 0.0, 1.0]) - pose(ds)(CENTRE)
        np.testing.assert_allclose(right, [0.0, np.sin(turned), np.cos(turned)], atol=1e-12)
        assert (ds.attrs["technique"], ds.attrs["instrument"]) == ("AFM", "Asylum Research Cypher")

    def test_trace_and_retrace_show_the_same_place(self, measured):
        """Mirrored or upside down they would not."""
        ds = volumes.open(measured(IBW))
        amplitude, back = ds["nap_potential"].values, ds["nap_potential_retrace"].values
        match = [np.corrcoef(amplitude.ravel(), other.ravel())[0, 1] for other in (back, back[:, ::-1], back[::-1])]
        assert match[0] > 0.95
        assert match[0] > max(match[1:]) + 0.01


class TestNanosurf:
    def test_values_are_those_of_the_bytes(self, measured):
        path = measured(NID)
        ds = fusion.check(volumes.open(path))
        content = path.read_bytes()
        raw = np.frombuffer(content[content.index(b"#!") + 2 :], "<i4").reshape(8, 256, 512).astype(float)
        span = {"height": (13.0007, -6.50034, "um"), "amplitude": (20, -10, "V"), "phase": (360, -180, "degree"),
                "height_sensor": (26.2314, -13.1157, "um")}  # fmt: skip
        layers = [(f"{name}{way}", *said) for way in ("", "_retrace") for name, said in span.items()]
        assert list(ds.data_vars) == [name for name, *_ in layers]
        for layer, (name, full, least, unit) in enumerate(layers):
            np.testing.assert_allclose(ds[name], least + full * (raw[layer] + 2**31) / 2**32, rtol=1e-9)
            assert ds[name].attrs["units"] == unit

    def test_axes_pose_and_what_the_file_says(self, measured):
        ds = volumes.open(measured(NID), name="height")
        assert (float(ds["x"].diff("x")[0]), float(ds["y"].diff("y")[0])) == pytest.approx(
            (3.97339 / 512, 3.97339 / 256)
        )
        assert um(ds, "y")[0] == pytest.approx(-3.97339 / 2 * 255 / 256)
        np.testing.assert_allclose(pose(ds)(CENTRE), [0.0, -0.427246, -1.84326])
        said = {key: ds.attrs[key] for key in ("technique", "instrument", "imaging_mode")}
        assert said == {"technique": "AFM", "instrument": "Nanosurf FlexAFM", "imaging_mode": "tapping"}

    def test_spectroscopy_in_between_is_skipped(self, tmp_path):
        """Its block takes place in the file, but it is no image."""
        path = tmp_path / "made.nid"
        path.write_bytes(nid([("Scan forward", 3, 4), ("Spec forward", 2, 4), ("Scan backward", 3, 4)]))
        ds = volumes.open(path)
        assert list(ds.data_vars) == ["height", "height_retrace"]
        np.testing.assert_allclose(ds["height_retrace"], np.arange(20, 32).reshape(3, 4) + 32768.0)

    def test_two_units_of_length_are_refused(self, tmp_path):
        (tmp_path / "made.nid").write_bytes(nid([("Scan forward", 3, 4)]).replace(b"Dim1Unit=m", b"Dim1Unit=V"))
        with pytest.raises(FileReadError, match="x is in 'm', y in 'V'"):
            volumes.open(tmp_path / "made.nid")


class TestGwyddion:
    def test_the_top_line_has_the_largest_y(self, tmp_path):
        ds = fusion.check(volumes.open(write_gwyddion(tmp_path)))
        np.testing.assert_allclose(ds["topography"], np.arange(12).reshape(3, 4)[::-1] * 1e-3)
        assert (ds["topography"].attrs["units"], ds["phase"].attrs["units"]) == ("um", "degree")
        np.testing.assert_allclose(um(ds, "x"), [-1.5, -0.5, 0.5, 1.5])
        np.testing.assert_allclose(pose(ds)(CENTRE), [0.0, -3.5, 3.0])
        assert gwyfile.load(str(tmp_path / "made.gwy"))["/0/data"].data[0, 3] == pytest.approx(3e-9)

    def test_an_unknown_unit_is_told(self, tmp_path):
        ds = volumes.open(write_gwyddion(tmp_path, si_unit_z="furlongs/blink"), name="topography")
        assert ds["topography"].attrs["units"] == "1"
        assert ds["topography"].attrs["comment"] == "the file gives the unit 'furlongs/blink'"
        assert float(ds["topography"].max()) == pytest.approx(11e-9)

    def test_no_length_is_px(self, tmp_path):
        ds = volumes.open(write_gwyddion(tmp_path, si_unit_xy="V"), name="topography")
        assert ds["x"].attrs["units"] == "px"

    def test_channels_of_several_places_must_be_chosen(self, tmp_path):
        path = write_gwyddion(tmp_path)
        container = gwyfile.load(str(path))
        container["/3/data"]["xreal"] = 8e-6
        container.tofile(str(path))
        with pytest.raises(FileReadError, match="lie in several places"):
            volumes.open(path)
        assert um(volumes.open(path, name="phase"), "x")[1] == pytest.approx(-1.0)


def test_a_scan_is_saved_with_all_that_it_says(measured, tmp_path):
    ds = volumes.open(measured(NID))
    fusion.save(ds, tmp_path / "scan.nc")
    assert fusion.load(tmp_path / "scan.nc").equals(ds)
    assert fusion.get_pose(fusion.load(tmp_path / "scan.nc"))[1] == fusion.get_pose(ds)[1]


class TestJpk:
    @pytest.mark.parametrize(("reflect", "mode", "said"), [(0, "intermittent", "tapping"), (1, "contact", "contact")])
    def test_default_slot_grid_and_pose(self, tmp_path, reflect, mode, said):
        ds = fusion.check(volumes.open(write_jpk(tmp_path, reflect=reflect, mode=mode)))
        assert list(ds.data_vars) == ["height", "height_retrace"]
        rows = np.arange(12).reshape(3, 4)[:: -1 if reflect else 1]
        np.testing.assert_allclose(ds["height"], (rows + 5) * 1e-3)
        np.testing.assert_allclose(ds["height_retrace"], (rows + 105) * 1e-3)
        np.testing.assert_allclose(um(ds, "x"), [-1.5, -0.5, 0.5, 1.5])
        np.testing.assert_allclose(pose(ds)([0.0, 0.0, 1.0]), [0.0, 3.0, 1.0])
        assert (ds.attrs["instrument"], ds.attrs["imaging_mode"]) == ("JPK", said)

    def test_a_calibration_that_is_not_linear_is_refused(self, tmp_path):
        with pytest.raises(FileReadError, match="not linear"):
            volumes.open(write_jpk(tmp_path, scaling="OffsetScaling"))


class TestSecm:
    def test_values_axes_and_units(self, measured):
        path = measured(SECM)
        ds = fusion.check(volumes.open(path))
        x, y, current = np.loadtxt(path, delimiter=",", comments="#").T
        np.testing.assert_array_equal(ds["current"], current.reshape(25, 200))
        np.testing.assert_allclose(um(ds, "x"), np.arange(200) * 0.5)
        np.testing.assert_allclose(um(ds, "y"), np.arange(25) * 4.0)
        k = 1234
        assert float(ds["current"].sel(y=y[k], x=x[k])) == current[k]
        assert (ds["current"].attrs["units"], ds.attrs["technique"]) == ("nA", "SECM")
        assert json.loads(ds.attrs["original_metadata"])["Currents normalized"] == "No"

    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("#Units of distance: um\n", "", "unit of distance; add the line '#Units of distance: um'"),
            ("#Units of current: nA\n", "", "unit of current; add the line '#Units of current: nA'"),
            ("1,1,4\n", "", "3 points do not fill a grid of 2 x 2"),
            ("1,1,4\n", "1,0,4\n", "4 points do not fill a grid|3 places|do not fill"),
            ("1,1,4\n", "1,1\n", "damaged"),
            ("1,1,4\n", "1,1,4", "cut short within line 6"),
        ],
    )
    def test_refused(self, tmp_path, old, new, reason):
        text = "#Units of current: nA\n#Units of distance: um\n0,0,1\n1,0,2\n0,1,3\n1,1,4\n"
        (tmp_path / "map.txt").write_text(text)
        assert volumes.open(tmp_path / "map.txt")["current"].values.tolist() == [[1, 2], [3, 4]]
        (tmp_path / "map.txt").write_text(text.replace(old, new))
        with pytest.raises(FileReadError, match=reason):
            volumes.open(tmp_path / "map.txt")


@pytest.mark.parametrize("name", [DI, IBW, NID, SECM])
def test_a_truncated_file_is_never_whole(measured, tmp_path, name):
    whole = measured(name).read_bytes()
    path = tmp_path / measured(name).name
    for kept in (0.0, 0.0001, 0.004, 0.05, 0.3, 0.5, 0.777, 0.95, 0.99, 1 - 1 / len(whole)):
        path.write_bytes(whole[: round(kept * len(whole))])
        with pytest.raises(FileReadError):
            volumes.open(path)


@pytest.mark.parametrize("made", [write_gwyddion, write_jpk])
def test_a_truncated_made_file_is_never_whole(tmp_path, made):
    path = made(tmp_path)
    whole = path.read_bytes()
    for kept in np.linspace(0, len(whole) - 1, 11).astype(int):
        path.write_bytes(whole[:kept])
        with pytest.raises(FileReadError):
            volumes.open(path)


@pytest.mark.parametrize(("reader", "library"), [(igor, "igor2"), (gwyddion, "gwyfile")])
def test_a_missing_library_is_explained(tmp_path, monkeypatch, reader, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(FileReadError, match=rf"read by {library}, .*pip install conspectus\[afm\]"):
        reader.arrays(tmp_path / "any")


@pytest.mark.parametrize("said", ["Tapping", "AC Mode", "Phase Contrast", "intermittent"])
def test_tapping_has_many_names(said):
    assert scan.imaging_mode(said) == {"imaging_mode": "tapping"}
    assert scan.imaging_mode("Contact") == {"imaging_mode": "contact"}
    assert scan.imaging_mode("PeakForce Tapping") == {"imaging_mode": "peakforce tapping"}
