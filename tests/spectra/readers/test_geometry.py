"""Where a spectral file was measured: its pose against the numbers in the file, read here on their own."""

import json
import re
import struct
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import fusion
import spectra
from fusion import Affine, FileReadError, FrameError
from fusion.reading.stage import Stage, stage_pose

STREAMLINE = "raman/renishaw_test_streamline.wdf"
MAP = "raman/renishaw_test_map.wdf"
ZSCAN = "raman/renishaw_test_zscan.wdf"
P45 = "edx/P45_the_default_job.bcf"
VELOX = "correlative_eds_haadf_velox/fei_SI_SuperX-HAADF_20frames_10x50.emd"
CL = "correlative_cl_sem/odemis_spectrum_fitting.h5"
JEOL = "edx/jeol/Sample/00_View000/View000_000000"


def place(ds, **index):
    """Return where a pixel lies in the frame of the pose, as z, y, x."""
    at = [float(ds[d][index[d]] if d in index else ds[d]) if d in ds.coords else 0.0 for d in "zyx"]
    return fusion.get_pose(ds)[0](at)


def centre(ds):
    at = [float(ds[dim].values[[0, -1]].mean()) if dim in ds.dims else 0.0 for dim in "zyx"]
    return fusion.get_pose(ds)[0](at)


def block(content: bytes, name: bytes) -> int:
    """Return where the body of a block of a wdf file begins."""
    at = 0
    while content[at : at + 4] != name:
        at += struct.unpack_from("<Q", content, at + 8)[0]
    return at + 16


def origins(content: bytes) -> dict[int, tuple[int, np.ndarray]]:
    """Return the series of the block ORGN by their type: where the numbers begin, and the numbers."""
    (count,), at = struct.unpack_from("<Q", content, 72), block(content, b"ORGN")
    (series,) = struct.unpack_from("<I", content, at)
    starts = [at + 4 + i * (24 + 8 * count) for i in range(series)]
    kinds = {struct.unpack_from("<I", content, start)[0] & 0xFFFF: start + 24 for start in starts}
    return {kind: (start, np.frombuffer(content, "<f8", count, start)) for kind, start in kinds.items()}


class TestStage:
    def test_the_centre_lies_where_the_stage_reads(self):
        pose = stage_pose(Stage(10.0, 20.0, 3.0, 77.0, 30.0, -5.0), scan_rotation=12.0, y=4.0, x=5.0)
        np.testing.assert_allclose(pose([0.0, 4.0, 5.0]), [3.0, 20.0, 10.0], atol=1e-12)
        np.testing.assert_allclose(pose.scale, 1.0)
        assert np.linalg.det(pose.matrix[:3, :3]) == pytest.approx(1.0)

    def test_an_image_is_upright(self):
        pose = stage_pose(Stage())
        np.testing.assert_array_equal(pose([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
                                      [[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])  # fmt: skip

    @pytest.mark.parametrize(
        ("stage", "scan", "expected"),
        [
            (Stage(rotation=90.0), 0.0, [0.0, -1.0, 0.0]),  # the plate turned: what is on the right was below
            (Stage(), 90.0, [0.0, 1.0, 0.0]),  # the scan turned: its x runs upwards
            (Stage(rotation=30.0), 30.0, [0.0, 0.0, 1.0]),
            (Stage(cross_tilt=30.0), 0.0, [0.5, 0.0, np.sqrt(0.75)]),
            (Stage(tilt=60.0), 0.0, [0.0, 0.0, 1.0]),
        ],
    )
    def test_where_the_right_of_the_image_is(self, stage, scan, expected):
        np.testing.assert_allclose(stage_pose(stage, scan_rotation=scan)([0.0, 0.0, 1.0]), expected, atol=1e-12)

    def test_the_beam_comes_down_on_a_tilted_plate(self):
        # tilted by 70 degrees the upper edge rises, and a beam that goes down meets the plate near its y
        np.testing.assert_allclose(
            stage_pose(Stage(tilt=70.0))([1.0, 0.0, 0.0]), [-np.cos(np.deg2rad(70)), -np.sin(np.deg2rad(70)), 0.0]
        )


class TestRenishaw:
    @pytest.mark.parametrize(("name", "by_columns"), [(STREAMLINE, True), (MAP, False)])
    def test_each_spectrum_lies_where_the_file_says(self, measured, name, by_columns):
        content = measured(name).read_bytes()
        found = origins(content)
        title = "StreamLine image acquisition 5" if by_columns else "Simple mapping measurement"
        ds = fusion.check(spectra.open(measured(name), name=title))
        rows, columns = ds.sizes["y"], ds.sizes["x"]
        z = struct.unpack_from("<f", content, block(content, b"WMAP") + 16)[0]
        (start,) = (block(content, b"DATA"),)
        channels = ds["intensity"].shape[-1]
        stored = np.frombuffer(content, "<f4", rows * columns * channels, start).reshape(-1, channels)
        for k in (0, 1, 4, rows * columns - 1):
            y, x = (k % rows, k // rows) if by_columns else divmod(k, columns)
            np.testing.assert_allclose(place(ds, y=y, x=x), [z, found[4][1][k], found[3][1][k]], rtol=1e-6, atol=1e-4)
            assert float(ds["intensity"][y, x].sum()) == pytest.approx(float(stored[k].sum()), rel=1e-5)

    @pytest.mark.parametrize("name", [STREAMLINE, MAP])
    def test_white_light_image_lies_where_its_exif_says(self, measured, name):
        content = measured(name).read_bytes()
        start = block(content, b"WHTL")
        exif = Image.open(BytesIO(content[start:])).getexif()
        (x, y), ifd = exif[0xFEA0], exif.get_ifd(0x8769)
        ds = fusion.check(spectra.open(measured(name), name="white light"))
        raman = spectra.open(measured(name), name=next(iter(c.name for c in spectra.contents(measured(name)))))
        assert (float(ds["x"][0]), float(ds["y"][0])) == (pytest.approx(x), pytest.approx(y))
        width = float(ds["x"][-1] - ds["x"][0]) * ds.sizes["x"] / (ds.sizes["x"] - 1)
        assert width == pytest.approx(ifd[0xA20E])
        assert float(ds["z"]) == float(raman["z"])
        assert fusion.get_pose(ds)[1] == fusion.get_pose(raman)[1]

    def test_depth_series_stands_where_the_stage_stood(self, measured):
        content = measured(ZSCAN).read_bytes()
        ds = fusion.check(spectra.open(measured(ZSCAN)))
        np.testing.assert_allclose(ds["z"], origins(content)[5][1])
        assert (float(ds["y"]), float(ds["x"])) == (0.0, 0.0)
        assert fusion.get_pose(ds)[1].startswith("stage of ")

    def line(self, measured, tmp_path, points, *, z=False):
        """Turn the 3 x 3 map into a line of 9 spectra at `points` (9, 3) in z, y, x."""
        content = bytearray(measured(MAP).read_bytes())
        found = origins(bytes(content))
        for column, kind in enumerate((17, 4, 3) if z else (None, 4, 3)):
            if kind is not None:
                start = found[kind][0]
                content[start : start + 72] = np.asarray(points)[:, column].astype("<f8").tobytes()
                if kind == 17:  # the flags become z
                    struct.pack_into("<II", content, start - 24, 0x80000005, 5)
        plan = block(bytes(content), b"WMAP")
        struct.pack_into("<I", content, plan, 128)
        struct.pack_into("<3I", content, plan + 32, 9, 1, 1)
        path = tmp_path / "line.wdf"
        path.write_bytes(content)
        return path

    @pytest.mark.parametrize("z", [False, True])
    def test_oblique_line_keeps_its_place(self, measured, tmp_path, z):
        steps = np.array([0.0, 1.0, 2.0, 3.0, 4.5, 5.0, 6.0, 7.0, 9.0])
        start, direction = np.array([-2365.4, 70.0, -30.0]), np.array([1.0 if z else 0.0, -3.0, 4.0])
        points = start + steps[:, None] * direction
        path = self.line(measured, tmp_path, points, z=z)
        ds = fusion.check(spectra.open(path, name="Simple mapping measurement"))
        assert ds["intensity"].dims == ("x", "wavelength")
        np.testing.assert_allclose(ds["x"], steps * np.linalg.norm(direction))
        for k in range(9):
            np.testing.assert_allclose(place(ds, x=k), points[k], atol=1e-3)
        np.testing.assert_allclose(fusion.get_pose(ds)[0].scale, 1.0)
        stored = np.frombuffer(path.read_bytes(), "<f4", 9 * 47, 528).reshape(9, 47)
        np.testing.assert_array_equal(ds["intensity"].values, stored[:, ::-1])  # its wavelengths descend
        white = spectra.open(path, name="white light")
        assert fusion.get_pose(white)[1] == fusion.get_pose(ds)[1]

    def test_a_bent_line_is_refused(self, measured, tmp_path):
        points = np.zeros((9, 3))
        points[:, 2], points[4, 1] = np.arange(9.0), 2.0
        with pytest.raises(FileReadError, match="do not lie on a straight line"):
            spectra.open(self.line(measured, tmp_path, points), name="Simple mapping measurement")

    @pytest.mark.parametrize(
        ("kind", "reason"), [(3, "up to 7 um along x from where its plan"), (17, "follows the surf")]
    )
    def test_spectra_elsewhere_than_planned_are_refused(self, measured, tmp_path, kind, reason):
        content = bytearray(measured(MAP).read_bytes())
        start = origins(bytes(content))[kind][0]
        if kind == 17:
            struct.pack_into("<II", content, start - 24, 5, 5)
        struct.pack_into("<d", content, start + 8, 7.0)
        path = tmp_path / "moved.wdf"
        path.write_bytes(content)
        with pytest.raises(FileReadError, match=reason):
            spectra.open(path, name="Simple mapping measurement")

    def test_a_line_without_its_places_is_refused(self, measured, tmp_path):
        path = self.line(measured, tmp_path, np.arange(27.0).reshape(9, 3))
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, origins(bytes(content))[4][0] - 24, 17)  # y becomes flags
        path.write_bytes(content)
        with pytest.raises(FileReadError, match="a line of 9 spectra, but not where each of them lies"):
            spectra.open(path, name="Simple mapping measurement")

    def test_a_block_of_too_few_places_is_refused(self, measured, tmp_path):
        content = bytearray(measured(MAP).read_bytes())
        struct.pack_into("<I", content, block(bytes(content), b"ORGN"), 50)
        path = tmp_path / "short.wdf"
        path.write_bytes(content)
        with pytest.raises(FileReadError, match=r"short\.wdf"):
            spectra.open(path, name="Simple mapping measurement")


class TestElectronMicroscopes:
    def test_bruker_items_lie_on_the_stage(self, measured):
        path = measured(P45)
        said = re.search(rb'TRTSEMStageData">(.*?)</Class', path.read_bytes()).group(1)
        x, y, z, rotation, tilt = (
            float(re.search(f"<{key}>(.*?)<".encode(), said).group(1)) for key in ("X", "Y", "Z", "Rotation", "Tilt")
        )
        for name in ("EDX", "BSE", "SE"):
            ds = fusion.check(spectra.open(path, name=name))
            np.testing.assert_allclose(centre(ds), [z, y, x])
            to_image = Affine.rotation(tilt, axis=(0.0, 0.0, 1.0)) @ Affine.rotation(rotation)
            turned = to_image.matrix[:3, :3] @ fusion.get_pose(ds)[0].matrix[:3, :3]
            np.testing.assert_allclose(turned, np.diag([-1.0, -1.0, 1.0]), atol=1e-12)
        assert float(spectra.open(path)["y"][0]) == 0.0

    def test_a_stage_that_says_nothing_is_none(self, measured):
        pose, frame = fusion.get_pose(spectra.open(measured("edx/test_TEM.bcf")))
        np.testing.assert_array_equal(pose.matrix, np.eye(4))
        assert frame.startswith("test_TEM.bcf ")

    def test_velox_items_lie_on_the_stage(self, measured):
        path = measured(VELOX)
        with h5py.File(path) as file:
            group = next(iter(file["Data/Image"].values()))
            said = json.loads(bytes(group["Metadata"][:, 0]).rstrip(b"\0"))
        position = [float(said["Stage"]["Position"][dim]) * 1e6 for dim in "zyx"]
        alpha, beta = (float(np.rad2deg(float(said["Stage"][key]))) for key in ("AlphaTilt", "BetaTilt"))
        edx, haadf = (fusion.check(spectra.open(path, name=name)) for name in ("EDS", "HAADF"))
        for ds in (edx, haadf):
            pose, frame = fusion.get_pose(ds)
            assert frame.startswith("stage of ")
            np.testing.assert_allclose(pose([0.0, 0.0, 0.0]), position)
            # the plate's normal, seen along the beam, is off by both tilts
            normal = pose.matrix[0, :3]
            assert normal[0] == pytest.approx(-np.cos(np.deg2rad(alpha)) * np.cos(np.deg2rad(beta)))
        np.testing.assert_allclose(fusion.between(haadf, edx).matrix, np.eye(4), atol=1e-12)

    @pytest.mark.parametrize("name", ["eels/EELS_SI.dm4", "cathodoluminescence/quantum-emitters_map.dm4"])
    def test_gatan_maps_lie_on_the_stage(self, measured, name):
        content = measured(name).read_bytes()

        def tag(key: bytes) -> float:
            at = content.index(b"%%%%", content.index(key)) + 4
            count, kind = struct.unpack_from(">QQ", content, at)
            assert (count, kind) in ((1, 6), (1, 7))
            return struct.unpack_from("<d" if kind == 7 else "<f", content, at + 16)[0]

        ds = fusion.check(spectra.open(measured(name)))
        np.testing.assert_allclose(centre(ds), [tag(b"Stage Z"), tag(b"Stage Y"), tag(b"Stage X")], rtol=1e-6)
        turned = fusion.get_pose(ds)[0].matrix[:3, :3]
        alpha, beta = tag(b"Stage Alpha"), tag(b"Stage Beta")
        if beta:  # an SEM's second angle is its rotation
            expected = Affine.rotation(-beta).matrix[:3, :3] @ np.diag([-1.0, -1.0, 1.0])
        else:
            expected = Affine.rotation(-alpha, axis=(0.0, 0.0, 1.0)).matrix[:3, :3] @ np.diag([-1.0, -1.0, 1.0])
        np.testing.assert_allclose(turned, expected, atol=1e-9)

    def made(self, monkeypatch, tmp_path, plugin, suffix, raws):
        monkeypatch.setattr(f"rsciio.{plugin}.file_reader", lambda *_, **__: raws)
        path = tmp_path / f"a{suffix}"
        path.write_bytes(bytes(64))
        return path

    def raw(self, title, size, scale, original, *, offset=0.0, energy=False):
        axes = [{"name": dim, "size": size, "scale": scale, "offset": offset, "units": "nm"} for dim in "yx"]
        axes += [{"name": "Energy", "size": 3, "scale": 0.01, "offset": 0.0, "units": "keV"}] if energy else []
        data = np.ones((size, size, 3) if energy else (size, size), "uint8")
        return {"data": data, "axes": axes, "metadata": {"General": {"title": title}}, "original_metadata": original}

    @pytest.mark.parametrize("key", ["Stage {}_um", "Stage_{}_um"])
    def test_tia_fields_of_different_extents(self, monkeypatch, direct, tmp_path, key):
        said = {key.format(dim): value for dim, value in (("X", 10.0), ("Y", 20.0), ("Z", -3.0))}
        said |= {key.replace("um", "deg").format("A"): 15.0}
        original = {"ObjectInfo": {"ExperimentalDescription": said}}
        image = self.raw("image", 64, 10.0, original, offset=-315.0)
        small = self.raw("map", 4, 10.0, original, offset=55.0, energy=True)
        path = self.made(monkeypatch, tmp_path, "tia", ".emi", [image, small])
        image, small = (spectra.open(path, name=name) for name in ("image", "map"))
        np.testing.assert_allclose(centre(image), [-3.0, 20.0, 10.0])
        at = fusion.between(small, image)([0.0, float(small["y"][0]), float(small["x"][0])])
        np.testing.assert_allclose(at, [0.0, 0.055, 0.055], atol=1e-12)

    def test_bruker_image_of_another_field_is_not_placed(self, monkeypatch, direct, tmp_path):
        original = {"Stage": {"X": 1000.0, "Y": 2000.0, "Z": 30.0, "Rotation": 0.0, "Tilt": 0.0}}
        raws = [self.raw("fine", 8, 5.0, original), self.raw("wide", 9, 9.0, original),
                self.raw("EDX", 4, 10.0, original, energy=True)]  # fmt: skip
        path = self.made(monkeypatch, tmp_path, "bruker", ".bcf", raws)
        fine, wide, edx = (spectra.open(path, name=name) for name in ("fine", "wide", "EDX"))
        np.testing.assert_allclose(fusion.between(fine, edx)([0.0, 0.0, 0.0]), [0.0, -0.0025, -0.0025], atol=1e-9)
        with pytest.raises(FrameError, match="share no frame"):
            fusion.between(wide, edx)

    @pytest.mark.parametrize(
        "original",
        [
            {},
            {"Stage": {"X": 0.0, "Y": 0, "Z": "0"}},
            {"Stage": None},
            {"Stage": {"X": ""}},
            {"Stage": {"X": "not read", "Y": float("nan")}},
        ],
    )
    def test_a_stage_of_zeros_is_unknown(self, monkeypatch, direct, tmp_path, original):
        path = self.made(monkeypatch, tmp_path, "bruker", ".bcf", [self.raw("EDX", 4, 10.0, original, energy=True)])
        pose, frame = fusion.get_pose(spectra.open(path))
        np.testing.assert_array_equal(pose.matrix, np.eye(4))
        assert frame.startswith("a.bcf ")

    def test_without_a_pixel_size_there_is_no_place(self, monkeypatch, direct, tmp_path):
        raw = self.raw("EDX", 4, 10.0, {"Stage": {"X": 5.0}}, energy=True)
        for axis in raw["axes"][:2]:
            axis["units"] = None
        path = self.made(monkeypatch, tmp_path, "bruker", ".bcf", [raw])
        assert fusion.get_pose(spectra.open(path))[1].startswith("a.bcf ")


class TestDelmic:
    def test_hyperspy_does_not_open_the_file(self, measured):
        from hyperspy.api import load

        with pytest.raises(ValueError, match="multiple file readers that could read the file"):
            load(measured(CL))
        fusion.check(spectra.open(measured(CL)))

    @pytest.mark.parametrize("item", ["SEM CL", "Spectrum", "SEM survey"])
    def test_rows_go_down_and_the_stage_goes_up(self, measured, item):
        path = measured(CL)
        group = {"SEM CL": "Acquisition0", "Spectrum": "Acquisition1", "SEM survey": "Acquisition2"}[item]
        with h5py.File(path) as file:
            data = file[group]["ImageData"]
            y, x, step = (float(data[key][()]) * 1e6 for key in ("YOffset", "XOffset", "DimensionScaleY"))
            first = float(np.squeeze(data["Image"][..., 0, 0]).ravel()[0])
        ds = fusion.check(spectra.open(path, name=item))
        np.testing.assert_allclose(centre(ds), [0.0, y, x], atol=1e-9)
        top = place(ds, y=-1, x=0)
        assert top[1] == pytest.approx(y + step * (ds.sizes["y"] - 1) / 2)
        assert float(next(iter(ds.data_vars.values()))[-1, 0].values.ravel()[0]) == first

    def test_a_rotation_vector_and_a_measured_height(self, measured, tmp_path):
        path = tmp_path / "turned.h5"
        path.write_bytes(measured(CL).read_bytes())
        with h5py.File(path, "r+") as file:
            data = file["Acquisition0/ImageData"]
            data["Rotation"] = (np.pi / 2, 0.0, 0.0)
            data["ZOffset"][()] = 4e-6
            data["ZOffset"].attrs["State"] = np.uint32(114)
        pose, _ = fusion.get_pose(spectra.open(path, name="SEM CL"))
        np.testing.assert_allclose(pose([0.0, 1.0, 0.0]) - pose([0.0, 0.0, 0.0]), [1.0, 0.0, 0.0], atol=1e-12)
        assert pose([0.0, 0.0, 0.0])[0] == pytest.approx(4.0)


class TestWhole:
    @pytest.mark.parametrize("short", [1, 3, 8, 1000])
    @pytest.mark.parametrize("name", ["eels/EELS_SI.dm4", f"{JEOL}0.img", f"{JEOL}1.map"])
    def test_a_few_missing_bytes_are_noticed(self, measured, tmp_path, name, short):
        whole = measured(name).read_bytes()
        path = tmp_path / Path(name).name
        path.write_bytes(whole[:-short])
        with pytest.raises(FileReadError, match=r"cut short: .* bytes are there"):
            spectra.open(path)

    @pytest.mark.parametrize("name", ["eels/EELS_SI.dm4", f"{JEOL}0.img", f"{JEOL}1.map"])
    def test_a_whole_file_opens(self, measured, name):
        fusion.check(spectra.open(measured(name)))

    @pytest.mark.parametrize("length", [0, 3, 40, 50, 30020])
    def test_a_jeol_image_cut_anywhere(self, measured, tmp_path, length):
        path = tmp_path / "a.map"
        path.write_bytes(measured(f"{JEOL}1.map").read_bytes()[:length])
        with pytest.raises(FileReadError, match=r"a\.map"):
            spectra.open(path)
