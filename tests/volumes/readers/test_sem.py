"""Where an electron microscope took an image: tags in the file, and headers beside it."""

import configparser
import re

import numpy as np
import pytest
import tifffile

import fusion
import volumes
from fusion.errors import FileReadError
from tests.makers.electrons import FEI, centre, fei
from tests.makers.images import ramp


class TestFei:
    @pytest.mark.parametrize(
        ("name", "rows"), [("sem_tem/tfs_example.tif", 1024), ("correlative_secm_sem/Al-AR.tif", 1768)]
    )
    def test_measured(self, measured, name, rows):
        path = measured(name)
        with tifffile.TiffFile(path) as tif:
            tag = tif.pages[0].tags[34682]
        text = path.read_bytes()[tag.valueoffset : tag.valueoffset + tag.count].decode("latin-1")
        said = configparser.ConfigParser(interpolation=None, strict=False)
        said.read_string(text[text.index("[") :].replace("\x00", ""))
        stage = {key: float(said["Stage"][f"Stage{key}"]) for key in ("X", "Y", "Z", "R", "T")}
        ds = fusion.check(volumes.open(path))
        np.testing.assert_allclose(centre(ds, rows), [stage[key] * 1e6 for key in "ZYX"], atol=1e-9)
        turned = fusion.get_pose(ds)[0].matrix[:3, :3]
        in_plane = float(said["Beam"]["ScanRotation"]) - stage["R"]
        np.testing.assert_allclose(turned[1:, 2], [np.sin(in_plane), np.cos(in_plane)], atol=1e-4)
        assert np.linalg.det(turned) == pytest.approx(1.0)
        assert float(ds["x"][1] - ds["x"][0]) == pytest.approx(float(said["Scan"]["PixelWidth"]) * 1e6)
        assert ds.attrs["technique"] == "SEM"
        assert ds.attrs["beam_energy"] == float(said["Beam"]["HV"]) / 1e3
        assert ds.attrs["chamber_pressure"] == float(said["Vacuum"]["ChPressure"])
        assert fusion.get_pose(ds)[1].startswith("stage of ")

    def test_stage_holds_the_beam_shift(self, measured):
        with tifffile.TiffFile(measured("sem_tem/tfs_example.tif")) as tif:
            said = tif.fei_metadata
        for dim in "XY":
            shifted = said["EBeam"][f"Stage{dim}"] + said["EBeam"][f"BeamShift{dim}"]
            assert said["Stage"][f"Stage{dim}"] == pytest.approx(shifted, abs=2e-9)

    def test_a_known_pixel_on_a_tilted_plate(self, tmp_path):
        changes = {
            "Stage": {"StageT": np.deg2rad(60), "StageR": np.deg2rad(90)},
            "Beam": {"ScanRotation": np.deg2rad(90)},
        }
        ds = volumes.open(fei(tmp_path / "a.tif", **changes))
        pose, _ = fusion.get_pose(ds)
        # 20 pixels to the right of the middle: the scan's x goes up the slope, of which 0.5 lies in the plate
        there = pose([0.0, float(ds["y"][[19, 20]].mean()), float(ds["x"][[44, 45]].mean())])
        up = 20 * 0.05
        np.testing.assert_allclose(there, [5000.0 - up * np.sqrt(0.75), -2000.0, 1000.0 + up * 0.5], atol=1e-9)

    def test_the_data_bar_is_cropped(self, tmp_path):
        ds = volumes.open(fei(tmp_path / "a.tif"))
        cropped = fusion.check(volumes.crop_data_bar(ds))
        assert (ds.attrs["data_bar_rows"], cropped.sizes["y"]) == (4, 40)
        np.testing.assert_array_equal(cropped["image"], ramp(44, 50)[:40])
        np.testing.assert_allclose(centre(cropped), centre(ds, 40))
        assert float(cropped["y"].mean()) == pytest.approx(0.0, abs=1e-9)
        with pytest.raises(fusion.DataError, match="does not say that there is a data bar"):
            volumes.crop_data_bar(cropped)
        assert volumes.crop_data_bar(ds, rows=10).sizes["y"] == 34
        with pytest.raises(fusion.DataError, match="44 rows is none of an image of 44"):
            volumes.crop_data_bar(ds, rows=44)

    @pytest.mark.parametrize(
        ("name", "rows"), [("sem_tem/tfs_example.tif", 1024), ("correlative_secm_sem/Al-AR.tif", 1768)]
    )
    def test_the_data_bars_of_measured_images(self, measured, name, rows):
        assert volumes.crop_data_bar(volumes.open(measured(name))).sizes["y"] == rows

    def test_another_technique_is_given_openly(self, tmp_path):
        ds = volumes.open(fei(tmp_path / "a.tif"), technique="environmental SEM")
        assert ds.attrs["technique"] == "environmental SEM"
        assert ds.attrs["technique_given"] == "by the user; the file says 'SEM'"

    def test_several_pixel_sizes_need_the_user(self, tmp_path):
        path = fei(tmp_path / "a.tif", Scan={"HorFieldsize": 5e-6})
        with pytest.raises(FileReadError, match=r"several pixel sizes along x: 0\.05 um .* and 0\.1 um .*; give"):
            volumes.open(path)
        assert volumes.contents(path)[0].shape == (44, 50)
        for size in ("50 nm", "100 nm"):
            ds = volumes.open(path, voxel=size)
            np.testing.assert_allclose(centre(ds, 40), [5000.0, -2000.0, 1000.0], atol=1e-9)
        with pytest.raises(FileReadError, match="along x"):
            volumes.open(path, voxel={"y": "50 nm"})

    def test_tilt_correction_is_taken_out_of_the_tilt(self, tmp_path):
        correction = {"TiltCorrectionIsOn": "yes", "TiltCorrectionAngle": np.deg2rad(52)}
        ds = volumes.open(fei(tmp_path / "a.tif", EBeam=correction, Stage={"StageT": np.deg2rad(52)}))
        np.testing.assert_allclose(fusion.get_pose(ds)[0].matrix[:3, :3], np.diag([-1.0, -1.0, 1.0]), atol=1e-12)
        assert ds.attrs["tilt_correction"] == pytest.approx(52.0)
        plain = volumes.open(fei(tmp_path / "b.tif", EBeam={"TiltCorrectionAngle": 0.9}))
        assert "tilt_correction" not in plain.attrs

    def test_an_ion_beam_looks_from_elsewhere(self, tmp_path):
        beam = {"Beam": "IBeam", "Scan": "IScan", "HV": 30000}
        ds = volumes.open(fei(tmp_path / "a.tif", Beam=beam))
        assert (ds.attrs["technique"], ds.attrs["beam_energy"]) == ("FIB", 30.0)
        assert fusion.get_pose(ds)[1].startswith("a.tif ")

    @pytest.mark.parametrize(("pressure", "technique"), [(2.4e-4, "SEM"), (80.0, "environmental SEM"), ("", "SEM")])
    def test_gas_in_the_chamber(self, tmp_path, pressure, technique):
        ds = fusion.check(volumes.open(fei(tmp_path / "a.tif", Vacuum={"ChPressure": pressure})))
        assert (ds.attrs["technique"], ds.attrs.get("chamber_pressure", "")) == (technique, pressure)
        assert float(ds["x"][1] - ds["x"][0]) == pytest.approx(0.05)

    @pytest.mark.parametrize("stage", [{}, {"StageX": "", "StageZ": "unknown", "StageT": "nan"}])
    def test_a_stage_that_says_nothing_is_none(self, tmp_path, stage):
        ds = volumes.open(fei(tmp_path / "a.tif", Stage={**dict.fromkeys(FEI["Stage"], 0), **stage}))
        np.testing.assert_array_equal(fusion.get_pose(ds)[0].matrix, np.eye(4))
        assert float(ds["x"][0]) == 0.0


class TestZeiss:
    def test_measured(self, measured):
        path = measured("sem_tem/zeiss_example_sem.tif")
        with tifffile.TiffFile(path) as tif:
            tag = tif.pages[0].tags[34118]
        content = path.read_bytes()[tag.valueoffset : tag.valueoffset + tag.count].decode("cp1252")

        def said(key):
            return float(re.search(rf"{key}\r\n[^=]*=\s*(-?[\d.]+)", content).group(1))

        ds = fusion.check(volumes.open(path))
        np.testing.assert_allclose(centre(ds), [said(f"AP_STAGE_AT_{dim}") * 1e3 for dim in "ZYX"])
        rotation, tilt = said("AP_STAGE_AT_R"), said("AP_STAGE_AT_T")
        turned = fusion.get_pose(ds)[0].matrix[:3, :3]
        np.testing.assert_allclose(turned[1:, 2], [-np.sin(np.deg2rad(rotation)), np.cos(np.deg2rad(rotation))])
        assert turned[0, 0] == pytest.approx(-np.cos(np.deg2rad(tilt)))
        assert ds.attrs["instrument"] == "Zeiss Crossbeam 550"
        assert ds.attrs["beam_energy"] == said("AP_ACTUALKV")
        assert "chamber_pressure" not in ds.attrs


class TestTescan:
    HEADER = (
        "[MAIN]\r\nDevice=MIRA3 LMH\r\nPixelSizeX=2e-8\r\nPixelSizeY=4e-8\r\nImageStripSize=4\r\n"
        "[SEM]\r\nHV=15000.0\r\nStageX=0.001\r\nStageY=-0.002\r\nStageZ=0.007\r\nStageRotation=30.0\r\n"
        "StageTilt=0.0\r\nScanRotation=30.0\r\nChamberPressure=0.012\r\n"
    )

    def check(self, ds):
        np.testing.assert_allclose(centre(ds, 40), [7000.0, -2000.0, 1000.0], atol=1e-9)
        np.testing.assert_allclose(fusion.get_pose(ds)[0].matrix[:3, :3], np.diag([-1.0, -1.0, 1.0]), atol=1e-12)
        assert (float(ds["y"][1] - ds["y"][0]), float(ds["x"][1] - ds["x"][0])) == (
            pytest.approx(0.04),
            pytest.approx(0.02),
        )
        assert ds.attrs["instrument"] == "Tescan MIRA3 LMH"
        assert (ds.attrs["beam_energy"], ds.attrs["chamber_pressure"]) == (15.0, 0.012)

    @pytest.mark.parametrize("name", ["a-tif.hdr", "a.hdr"])
    def test_header_beside_the_image(self, tmp_path, name):
        tifffile.imwrite(tmp_path / "a.tif", ramp(44, 50))
        (tmp_path / name).write_text(self.HEADER)
        self.check(fusion.check(volumes.open(tmp_path / "a.tif")))

    def test_header_in_a_tag(self, tmp_path):
        value = b"\x00\x01thumbnail\xff" + self.HEADER.encode() + b"\x00\x00"
        tifffile.imwrite(
            tmp_path / "a.tif", ramp(44, 50), metadata=None, extratags=[(50431, "B", len(value), value, True)]
        )
        self.check(volumes.open(tmp_path / "a.tif"))

    def test_gas_in_the_chamber(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", ramp(44, 50))
        (tmp_path / "a.hdr").write_text(self.HEADER.replace("ChamberPressure=0.012", "ChamberPressure=30"))
        ds = volumes.open(tmp_path / "a.tif")
        assert (ds.attrs["technique"], ds.attrs["chamber_pressure"]) == ("environmental SEM", 30.0)

    def test_other_headers_mean_nothing(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5))
        (tmp_path / "a.hdr").write_text("samples = 5\nlines = 4\n")
        (tmp_path / "a.txt").write_text("notes")
        assert volumes.open(tmp_path / "a.tif")["x"].attrs["units"] == "px"


class TestJeol:
    LINES = (
        "$CM_FORMAT TIFF",
        "$CM_INSTRUMENT JSM-7600F",
        "$CM_ACCEL_VOLT 15.00",
        "$CM_FULL_SIZE 50 40",
        "$$SM_MICRON_BAR 20",
        "$$SM_MICRON_MARKER 1um",
    )

    def open(self, tmp_path, *more, **options):
        tifffile.imwrite(tmp_path / "a.tif", ramp(44, 50))
        (tmp_path / "a.txt").write_text("\r\n".join([*self.LINES, *more]))
        return fusion.check(volumes.open(tmp_path / "a.tif", **options))

    def test_bar_and_named_stage(self, tmp_path):
        ds = self.open(tmp_path, "$CM_STAGE_POSITION X=37.1761, Y=44.9344, R=350.0, Z=16.90, T=0.00")
        np.testing.assert_allclose(centre(ds, 40), [16900.0, 44934.4, 37176.1])
        assert float(ds["x"][1] - ds["x"][0]) == pytest.approx(0.05)
        assert (ds.attrs["instrument"], ds.attrs["beam_energy"]) == ("JSM-7600F", 15.0)
        right = fusion.get_pose(ds)[0].matrix[1:3, 2]
        np.testing.assert_allclose(right, [np.sin(np.deg2rad(10)), np.cos(np.deg2rad(10))])

    def test_bare_numbers_with_angles_are_not_guessed(self, tmp_path):
        ds = self.open(tmp_path, "$CM_STAGE_POS 2.044 0.704 10.2 0.0 0.0 0")
        np.testing.assert_allclose(centre(ds, 40), [10200.0, 704.0, 2044.0])
        ds = self.open(tmp_path, "$CM_STAGE_POS 2.044 0.704 10.2 11.0 0.0 0")
        assert fusion.get_pose(ds)[1].startswith("a.tif ")

    def test_bar_and_pixel_size_disagree(self, tmp_path):
        with pytest.raises(FileReadError, match=r"0\.0625 um \(\$CM_PIXEL_SIZE\) and 0\.05 um \(\$\$SM_MICRON_BAR\)"):
            self.open(tmp_path, "$CM_PIXEL_SIZE 0.0625")
        assert float(self.open(tmp_path, "$CM_PIXEL_SIZE 0.0625", voxel="62.5 nm")["x"][1]) == pytest.approx(0.0625)
