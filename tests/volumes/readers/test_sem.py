"""Where an image or a stack was taken: tags of electron microscopes, headers beside them, MRC, uneven slices."""

import configparser
import contextlib
import re
import struct
import warnings

import mrcfile
import numpy as np
import pytest
import tifffile

import fusion
import spectra
import volumes
from fusion.errors import FileReadError, UnitError
from tests.makers.images import steps

FEI = {
    "System": {"SystemType": "Quanta FEG"},
    "Beam": {"HV": 10000, "Beam": "EBeam", "Scan": "EScan", "ScanRotation": 0.0},
    "EBeam": {"TiltCorrectionIsOn": "no", "TiltCorrectionAngle": 0.0},
    "Scan": {"PixelWidth": 5e-8, "PixelHeight": 5e-8, "HorFieldsize": 2.5e-6},
    "Stage": {"StageX": 1e-3, "StageY": -2e-3, "StageZ": 5e-3, "StageR": 0.0, "StageT": 0.0, "StageTb": 0.0},
    "Image": {"ResolutionX": 50, "ResolutionY": 40},
    "Vacuum": {"ChPressure": 2e-4},
}


def ramp(*shape, dtype=np.uint16):
    """Values that say where they are."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def fei(path, data=None, **changes):
    """Write an image with FEI's tag; a change such as ``Stage={"StageX": 0}`` goes into a section."""
    sections = {name: {**entries, **changes.get(name, {})} for name, entries in FEI.items()}
    sections |= {name: entries for name, entries in changes.items() if name not in FEI}
    text = "\r\n".join(f"[{n}]\r\n" + "".join(f"{k}={v}\r\n" for k, v in e.items()) for n, e in sections.items())
    data = ramp(44, 50) if data is None else data
    tifffile.imwrite(path, data, metadata=None, extratags=[(34682, "s", 0, text, True)])
    return path


def centre(ds, rows=None):
    """Return where the middle of the field lies, a data bar below it left out."""
    rows = rows or ds.sizes["y"]
    return fusion.get_pose(ds)[0]([0.0, float(ds["y"][[0, rows - 1]].mean()), float(ds["x"][[0, -1]].mean())])


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


class TestSlices:
    def test_slices_of_several_pixel_sizes_are_doubted(self, tmp_path):
        for i, unit in enumerate(("um", "um", "nm")):
            said = {"unit": unit}
            tifffile.imwrite(tmp_path / f"{i}.tif", ramp(4, 5), imagej=True, resolution=(10, 10), metadata=said)
        with pytest.raises(FileReadError, match=r"along y: 2.tif has 0.0001 um, 0.tif has 0.1 um; give the right one"):
            volumes.open(tmp_path, voxel={"z": "1 um"})
        assert steps(volumes.open(tmp_path, voxel="1 um"))["x"] == (1.0, "um")

    @pytest.mark.parametrize("name", ["empty.tif", "dangling.tif", "folder.tif"])
    def test_a_slice_that_cannot_be_read_is_named(self, tmp_path, name):
        tifffile.imwrite(tmp_path / "a.tif", ramp(4, 5))
        path = tmp_path / name
        {"empty.tif": path.touch, "dangling.tif": lambda: path.symlink_to("x"), "folder.tif": path.mkdir}[name]()
        with pytest.raises(FileReadError, match=f"{name}: the slice cannot be read"):
            volumes.open(tmp_path)

    def test_a_slice_that_changes_after_opening_is_refused(self, tmp_path):
        for i in range(3):
            tifffile.imwrite(tmp_path / f"{i}.tif", ramp(4, 5))
        ds = volumes.open(tmp_path)
        tifffile.imwrite(tmp_path / "1.tif", ramp(4, 5) + 1)
        np.testing.assert_array_equal(ds["image"][0], ramp(4, 5))
        with pytest.raises(FileReadError, match=r"1.tif: the slice has changed since the stack was opened"):
            ds["image"].compute()

    def stack(self, folder, heights, **changes):
        folder.mkdir()
        for i, height in enumerate(heights):
            fei(folder / f"slice_{i:03d}.tif", ramp(44, 50) + i, Stage={"StageZ": height * 1e-6, **changes})
        return folder

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_stage_tells_uneven_steps(self, tmp_path, sign):
        heights = sign * np.array([5.0, 5.01, 5.023, 5.031])
        ds = fusion.check(volumes.open(self.stack(tmp_path / "s", heights)))
        assert fusion.conventions.spacing(ds["z"]) is None
        pose, frame = fusion.get_pose(ds)
        # image z runs along the beam, the stage's against it; the first slice may come last
        first = int(np.asarray(ds["image"][0, 0, 0]))
        order = range(4) if first == 0 else range(3, -1, -1)
        for k, i in enumerate(order):
            assert pose([float(ds["z"][k]), 0.0, 0.0])[0] == pytest.approx(heights[i])
            np.testing.assert_array_equal(ds["image"][k].values, ramp(44, 50) + i)
        assert frame.startswith("stage of ")
        assert ds.attrs["technique"] == "SEM"

    @pytest.mark.parametrize(
        ("heights", "reason"),
        [
            ([5.0, 5.01, 5.01, 5.02], "slices 1 and 2 were taken at one stage z"),
            ([5.0, 5.01, 5.005, 5.02], "slices 1 and 2 were taken at one stage z, or in another order"),
            ([5.0, 5.01, 5.02, 5.04], "a slice seems to be missing between 2 and 3: the stage went 0.02 um"),
        ],
    )
    def test_duplicates_and_gaps_are_refused(self, tmp_path, heights, reason):
        folder = self.stack(tmp_path / "s", heights)
        with pytest.raises(FileReadError, match=reason):
            volumes.open(folder)
        ds = volumes.open(folder, voxel={"z": [0.0, 0.01, 0.02, 0.03]})
        np.testing.assert_allclose(ds["z"], [0.0, 0.01, 0.02, 0.03])

    def test_a_stage_at_rest_tells_no_z(self, tmp_path):
        folder = self.stack(tmp_path / "s", [5.0] * 3)
        with pytest.raises(FileReadError, match="known along y, x but not along z"):
            volumes.open(folder)
        np.testing.assert_allclose(centre(volumes.open(folder, voxel={"z": "10 nm"}), 40), [5.0, -2000.0, 1000.0])

    def test_a_stage_that_wanders_places_nothing(self, tmp_path):
        folder = self.stack(tmp_path / "s", [5.0, 5.0])
        fei(folder / "slice_002.tif", ramp(44, 50), Stage={"StageZ": 5e-6, "StageX": 9e-3})
        ds = volumes.open(folder, voxel={"z": "10 nm"})
        assert fusion.get_pose(ds)[1].startswith("s ")

    @pytest.mark.parametrize(
        ("given", "unit", "expected"),
        [
            ([0.0, 0.01, 0.03], None, [0.0, 0.01, 0.03]),
            ([0, 10, 30], "nm", [0.0, 0.01, 0.03]),
            (("-5 nm", "10 nm", "0.03 um"), None, [-0.005, 0.01, 0.03]),
            (np.array([30.0, 10.0, 0.0]), "nm", [0.0, 0.01, 0.03]),
        ],
    )
    def test_positions_of_centres(self, tmp_path, given, unit, expected):
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), photometric="minisblack")
        voxel = {"z": given, "y": "5 nm", "x": "5 nm"}
        ds = fusion.check(volumes.open(tmp_path / "a.tif", voxel=voxel, units=unit))
        np.testing.assert_allclose(ds["z"], expected)
        turned = isinstance(given, np.ndarray)
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5)[::-1] if turned else ramp(3, 4, 5))

    def test_positions_of_a_tilt_series(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), photometric="minisblack")
        voxel = {"tilt": [-60, 0, 70], "y": 1.0, "x": 1.0}
        ds = volumes.open(tmp_path / "a.tif", dims=("tilt", "y", "x"), voxel=voxel, units="nm")
        assert ds["tilt"].values.tolist() == [-60.0, 0.0, 70.0]

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ([0.0, 0.1], "2 positions for 3 pixels"),
            ([0.0, 0.1, 0.1], "none is there twice"),
            ([0.0, 0.2, 0.1], "rise or fall throughout"),
            ([0.0, float("nan"), 0.1], "rise or fall throughout"),
            (["0 nm", "1 keV", "2 nm"], "cannot convert 'keV'"),
            (["0 nm", "one nm", "2 nm"], "a position is a number"),
        ],
    )
    def test_positions_that_are_none_are_refused(self, tmp_path, given, reason):
        tifffile.imwrite(tmp_path / "a.tif", ramp(3, 4, 5), photometric="minisblack")
        with pytest.raises(UnitError, match=reason):
            volumes.open(tmp_path / "a.tif", voxel={"z": given, "y": 1.0, "x": 1.0})


@contextlib.contextmanager
def quiet_mrcfile():
    """Mrcfile sets the dtype of its header, which NumPy 2.5 deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting the dtype", DeprecationWarning)
        yield


class TestMrc:
    def write(self, path, data, *, voxel=(1.0, 2.0, 3.0), extended=None, kind=b"", **header):
        with quiet_mrcfile(), mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(data)
            mrc.set_volume()
            mrc.voxel_size = voxel
            if extended is not None:
                mrc.set_extended_header(extended)
                mrc.header.exttyp = kind
            for key, value in header.items():
                mrc.header[key] = value
        return path

    @pytest.mark.parametrize(("flags", "dtype"), [(0, np.uint8), (1, np.int8), (2, np.uint8), (None, np.int8)])
    @pytest.mark.parametrize("angles", [False, True])
    def test_bytes_of_imod_may_be_unsigned(self, tmp_path, flags, dtype, angles):
        stored = np.arange(100, 160, dtype=np.uint8).reshape(3, 4, 5)
        path = self.write(tmp_path / "a.mrc", stored.view(np.int8))
        if flags is not None:
            header = bytearray(path.read_bytes())
            header[152:160] = struct.pack("<ii", 1146047817, flags)
            path.write_bytes(header)
        if angles:
            path.with_suffix(".rawtlt").write_text("10\n0\n-10\n")
        image = volumes.open(path)["image"]
        assert image.dtype == dtype
        values = image.transpose("tilt", "y", "x")[::-1] if angles else image
        np.testing.assert_array_equal(values, stored.view(dtype))

    def test_a_single_image_has_no_thickness(self, tmp_path):
        with quiet_mrcfile(), mrcfile.new(tmp_path / "a.mrc") as mrc:
            mrc.set_data(ramp(4, 5))
            mrc.voxel_size = (1.0, 2.0, 3.0)
        ds = fusion.check(volumes.open(tmp_path / "a.mrc"))
        assert steps(ds) == {"y": (pytest.approx(2e-4), "um"), "x": (pytest.approx(1e-4), "um")}

    def test_negative_steps_in_another_order_start_where_the_header_says(self, tmp_path):
        # columns are z, rows x, sections y
        order = {"mapc": 3, "mapr": 1, "maps": 2, "nxstart": 10, "nystart": -4, "nzstart": 7}
        data = ramp(3, 4, 5)
        ds = fusion.check(volumes.open(self.write(tmp_path / "a.mrc", data, voxel=(1.0, -2.0, 3.0), **order)))
        assert ds.sizes == {"z": 5, "y": 3, "x": 4}
        np.testing.assert_array_equal(ds["image"].values, data.transpose(2, 0, 1)[:, ::-1])
        step = {dim: float(ds[dim][1] - ds[dim][0]) for dim in "zyx"}
        cell = {"x": 1.0 * 5, "y": 2.0 * 3, "z": 3.0 * 4}  # lengths stay with x, y, z; samples too
        with quiet_mrcfile(), mrcfile.open(tmp_path / "a.mrc", header_only=True) as mrc:
            cell = {dim: abs(float(mrc.header.cella[dim])) / int(mrc.header[f"m{dim}"]) for dim in "xyz"}
        assert step == {dim: pytest.approx(cell[dim] * 1e-4) for dim in "zyx"}
        assert float(ds["z"][0]) == pytest.approx(10 * cell["z"] * 1e-4)
        assert float(ds["x"][0]) == pytest.approx(-4 * cell["x"] * 1e-4)
        assert float(ds["y"][-1]) == pytest.approx(7 * -cell["y"] * 1e-4)

    @pytest.mark.parametrize("angles", [(90.0, 100.0, 90.0), (60.0, 90.0, 90.0)])
    def test_an_oblique_cell_is_refused(self, tmp_path, angles):
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5), cellb=angles)
        with pytest.raises(FileReadError, match="its cell is oblique"):
            volumes.open(path)

    def test_a_skewed_ccp4_map_is_refused(self, tmp_path):
        path = self.write(tmp_path / "a.map", ramp(3, 4, 5))
        content = bytearray(path.read_bytes())
        struct.pack_into("<i", content, 24 * 4, 1)
        path.write_bytes(content)
        assert volumes.open(path).sizes["z"] == 3  # MRC2014 keeps other things there
        struct.pack_into("<i", content, 27 * 4, 0)
        path.write_bytes(content)
        with pytest.raises(FileReadError, match="CCP4 map with a skew"):
            volumes.open(path)

    @pytest.mark.parametrize("columns", [5, 52])  # JEOL's images begin with 52
    def test_a_ccp4_map_is_a_volume_of_z_y_x(self, tmp_path, columns):
        """A cut out of a cell: columns are y, rows x, sections z, as crystallographers keep maps."""
        data = ramp(3, 4, columns).astype(np.float32)
        start = {"nxstart": 20, "nystart": 0, "nzstart": -7}
        path = self.write(tmp_path / "emd_1.map", data, mapc=2, mapr=1, maps=3, ispg=19, mx=40, my=50, mz=60,
                          cella=(60.0, 100.0, 180.0), **start)  # fmt: skip
        with path.open("r+b") as stream:  # CCP4 knows no version
            stream.seek(27 * 4)
            stream.write(bytes(4))
        ds = fusion.check(volumes.open(path))
        np.testing.assert_array_equal(ds["image"], data.transpose(0, 2, 1))
        np.testing.assert_allclose(ds["x"], 1.5e-4 * np.arange(4), atol=1e-12)
        np.testing.assert_allclose(ds["y"], 2e-4 * (20 + np.arange(columns)))
        np.testing.assert_allclose(ds["z"], 3e-4 * (-7 + np.arange(3)), rtol=1e-6)
        with pytest.raises(FileReadError, match=r"a map of densities .MRC, CCP4.; open it with volumes\.open"):
            spectra.open(path)

    def test_cell_angles_of_zero_are_unset(self, tmp_path):
        assert volumes.open(self.write(tmp_path / "a.mrc", ramp(3, 4, 5), cellb=(0, 0, 0))).sizes["z"] == 3

    TILTS = (-60.0, 0.0, 45.5)

    def check(self, ds, data=None):
        fusion.check(ds)
        assert ds["image"].dims == ("y", "x", "tilt")
        np.testing.assert_allclose(ds["tilt"], self.TILTS, atol=1e-5)
        np.testing.assert_array_equal(ds["image"].values, (ramp(3, 4, 5) if data is None else data).transpose(1, 2, 0))
        assert float(ds["x"][1]) == pytest.approx(1e-4)

    @pytest.mark.parametrize("suffix", [".rawtlt", ".tlt", ".mdoc", ".mrc.mdoc"])
    def test_angles_beside_the_file(self, tmp_path, suffix):
        lines = [f"[ZValue = {i}]\nTiltAngle = {tilt}\nStagePosition = 1 2\n" for i, tilt in enumerate(self.TILTS)]
        text = "\n".join(lines) if suffix.endswith("mdoc") else "\n".join(f" {tilt:.2f}" for tilt in self.TILTS)
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5))
        (tmp_path / f"a{suffix}").write_text(text)
        self.check(volumes.open(path))

    @pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
    def test_angles_in_the_header_of_fei(self, tmp_path, kind):
        dtype = mrcfile.dtypes.get_ext_header_dtype(kind)
        records = np.zeros(3, dtype)
        records["Metadata size"], records["Alpha tilt"] = dtype.itemsize, self.TILTS
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5), extended=records, kind=kind)
        self.check(volumes.open(path))

    def test_angles_in_the_old_header_of_fei(self, tmp_path):
        records = np.zeros((1024, 32), "<f4")
        records[:3, 0] = self.TILTS
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5), extended=records.view("V128").ravel(), kind=b"\0\0\0\0")
        self.check(volumes.open(path))
        records[:] = 0
        path = self.write(tmp_path / "b.mrc", ramp(3, 4, 5), extended=records.view("V128").ravel(), kind=b"\0\0\0\0")
        assert volumes.open(path).sizes["z"] == 3

    def test_projections_are_brought_to_ascending_angles(self, tmp_path):
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5))
        (tmp_path / "a.rawtlt").write_text("0.0\n45.5\n-60.0\n")
        self.check(volumes.open(path), ramp(3, 4, 5)[[2, 0, 1]])

    def test_measured_angles(self, measured, tmp_path):
        listed = measured("electron_tomography/HAADF.rawtlt").read_text()
        path = self.write(tmp_path / "HAADF.mrc", ramp(77, 4, 5), voxel=33.6)
        (tmp_path / "HAADF.rawtlt").write_text(listed)
        ds = volumes.open(path)
        np.testing.assert_allclose(ds["tilt"], np.arange(-76.0, 77.0, 2.0))
        assert float(ds["x"][1]) == pytest.approx(3.36e-3)

    @pytest.mark.parametrize(
        ("files", "reason"),
        [
            ({"a.rawtlt": "0\n1\n"}, "a.rawtlt has 2 tilt angles for 3 sections"),
            ({"a.rawtlt": "0\n1\nx\n"}, "not a list of tilt angles"),
            ({"a.rawtlt": "0\n1\nnan\n"}, "a.rawtlt has 3 tilt angles for 3"),
            ({"a.rawtlt": "0\n1\n1\n"}, "one tilt angle for two sections"),
            (
                {"a.rawtlt": "0\n1\n2\n", "a.tlt": "0\n1\n4\n"},
                "section 2 was taken at 4 degrees by a.tlt and at 2 by a.rawtlt",
            ),
        ],
    )
    def test_angles_that_disagree_are_refused(self, tmp_path, files, reason):
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5))
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        with pytest.raises(FileReadError, match=reason):
            volumes.open(path)
