"""MRC and CCP4 files against mrcfile: sizes, origin, order of the axes, bytes of IMOD, tilt angles."""

import struct

import mrcfile
import numpy as np
import pytest

import fusion
import spectra
import volumes
from fusion.errors import FileReadError
from tests.makers.images import quiet_mrcfile, ramp, steps

IMOD = 1146047817


def swap(path, dtype):
    """Turn the bytes of a file around: its numbers one by one, but not its texts."""
    content = bytearray(path.read_bytes())
    words = np.frombuffer(bytes(content[:224]), "<u4").astype(">u4").tobytes()
    content[:96], content[104:108], content[196:208], content[216:224] = (
        words[:96], words[104:108], words[196:208], words[216:224]
    )  # fmt: skip
    content[108:112], content[152:160] = words[108:112], words[152:160]
    content[212:216] = b"\x11\x11\0\0"
    width = np.dtype(dtype).newbyteorder("<")
    content[1024:] = np.frombuffer(bytes(content[1024:]), width).astype(width.newbyteorder(">")).tobytes()
    path.write_bytes(content)


class TestMrc:
    def write(self, path, data, voxel=(1.0, 2.0, 3.0), order=(1, 2, 3), origin=(0.0, 0.0, 0.0), **header):
        with quiet_mrcfile(), mrcfile.new(path) as mrc:
            mrc.set_data(data)
            mrc.set_volume()
            mrc.voxel_size = voxel
            mrc.header.mapc, mrc.header.mapr, mrc.header.maps = order
            mrc.header.origin = origin
            for key, value in header.items():
                mrc.header[key] = value

    def test_sizes_in_angstrom_and_origin(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), origin=(100.0, 200.0, -300.0))
        ds = volumes.open(tmp_path / "a.mrc")
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5))
        assert ds["x"].values == pytest.approx([0.0100, 0.0101, 0.0102, 0.0103, 0.0104])
        assert ds["y"].values == pytest.approx([0.0200, 0.0202, 0.0204, 0.0206])
        assert ds["z"].values == pytest.approx([-0.0300, -0.0297, -0.0294])

    def test_axis_order_of_the_header(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), order=(2, 3, 1))
        ds = volumes.open(tmp_path / "a.mrc")
        assert ds.sizes == {"z": 4, "y": 5, "x": 3}
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5).transpose(1, 2, 0))

    def test_a_negative_size_is_turned_with_its_values(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), voxel=(1.0, -2.0, 3.0))
        ds = volumes.open(tmp_path / "a.mrc")
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5)[:, ::-1])
        assert ds["y"].values == pytest.approx([-0.0006, -0.0004, -0.0002, 0.0])

    def test_start_indices_place_a_cut_out(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), nxstart=10, nzstart=-2)
        ds = volumes.open(tmp_path / "a.mrc")
        assert float(ds["x"][0]) == pytest.approx(0.0010)
        assert float(ds["z"][0]) == pytest.approx(-0.0006)

    def test_a_stack_of_images_is_no_volume(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), ispg=0, mz=1)
        with pytest.raises(FileReadError, match="does not name the axes"):
            volumes.open(tmp_path / "a.mrc")
        ds = volumes.open(tmp_path / "a.mrc", dims=("tilt", "y", "x"), voxel={"tilt": "2 degree"})
        assert ds["image"].dims == ("y", "x", "tilt")

    @pytest.mark.parametrize("kept", [0.2, 0.9, 0.999])
    def test_a_truncated_file_is_refused(self, tmp_path, kept):
        path = tmp_path / "a.mrc"
        self.write(path, ramp(20, 20, 20))
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
        with pytest.raises(FileReadError, match="cut short"):
            volumes.open(path)

    @pytest.mark.parametrize(
        ("mode", "reason"), [(101, "values of 4 bits"), (16, "in colour"), (77, "mode 77 .* not known")]
    )
    def test_a_mode_that_is_not_read_is_named(self, tmp_path, mode, reason):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5), mode=mode)
        with pytest.raises(FileReadError, match=reason):
            volumes.open(tmp_path / "a.mrc")

    def test_a_fourier_transform_is_refused(self, tmp_path):
        self.write(tmp_path / "a.mrc", ramp(3, 4, 5).astype(np.complex64))
        with pytest.raises(FileReadError, match="Fourier transform"):
            volumes.open(tmp_path / "a.mrc")


class TestHeaders:
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

    # IMOD's mark, its flags and the version of the standard; whether the header holds the negative of the origin
    @pytest.mark.parametrize(
        ("mark", "flags", "version", "inverted"),
        [(IMOD, 0, 0, True), (IMOD, 3, 0, True), (IMOD, 4, 0, False), (IMOD, 6, 20140, False), (IMOD, 1, 20140, False),
         (0, 0, 0, False), (0, 0, 20140, False)],
    )  # fmt: skip
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_the_sign_of_an_origin_is_that_of_its_program(self, tmp_path, mark, flags, version, inverted, order):
        origin = np.array([-30.0, 80.0, -7.0])
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5), origin=tuple(origin), nversion=version)
        with quiet_mrcfile(), mrcfile.open(path, mode="r+") as mrc:
            mrc.header.extra2 = mrc.header.extra2.tobytes()[:40] + struct.pack("<ii", mark, flags) + bytes(84 - 48)
        if order == ">":
            swap(path, np.uint16)
        ds = volumes.open(path)
        first = [float(ds[dim][0]) * 1e4 for dim in "xyz"]
        np.testing.assert_allclose(first, -origin if inverted else origin, rtol=1e-12)

    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32])
    @pytest.mark.parametrize("stamp", ["00000000", "44000000", "17170000", "ffffffff", "44440000", "11110000"])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_an_unusual_machine_stamp_hides_no_values(self, tmp_path, dtype, stamp, order):
        data = ramp(3, 4, 5).astype(dtype)
        path = self.write(tmp_path / "a.mrc", data, nxstart=7)
        if order == ">":
            swap(path, dtype)
        content = bytearray(path.read_bytes())
        content[212:216] = bytes.fromhex(stamp)
        path.write_bytes(content)
        ds = volumes.open(path)
        np.testing.assert_array_equal(ds["image"].values, data)
        assert steps(ds) == {
            dim: (pytest.approx(size * 1e-4), "um") for dim, size in zip("zyx", (3, 2, 1), strict=True)
        }
        assert float(ds["x"][0]) == pytest.approx(7e-4)

    @pytest.mark.parametrize(("name", "order"), [("a.mrc", "<"), ("a.st", "<"), ("a.rec", ">")])
    def test_a_file_from_before_mrc2000_is_known_by_its_name_and_length(self, tmp_path, name, order):
        path = self.write(tmp_path / name, ramp(3, 4, 5, dtype=np.int16))
        if order == ">":
            swap(path, np.int16)
        content = bytearray(path.read_bytes())
        content[208:216] = bytes(8)
        path.write_bytes(content)
        np.testing.assert_array_equal(volumes.open(path)["image"].values, ramp(3, 4, 5))
        path.rename(tmp_path / "a.bin")
        with pytest.raises(FileReadError, match="unknown format"):
            volumes.open(tmp_path / "a.bin")

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

    def test_a_header_that_is_fei_s_by_name_alone_has_no_angles(self, tmp_path):
        extended = np.zeros(2, "V1024")
        path = self.write(tmp_path / "a.mrc", ramp(3, 4, 5), extended=extended, kind=b"FEI1")
        with pytest.warns(RuntimeWarning, match="cannot be interpreted as that type"):
            ds = volumes.open(path)
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5))

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
