"""Files of light microscopes: written here by the specifications, read by their libraries and by volumes.open."""

import json
import struct
import subprocess
import sys
import tracemalloc

import liffile
import nd2
import numpy as np
import pytest
import tifffile
from pylibCZIrw import czi

import fusion
import volumes
from fusion.errors import FileReadError
from fusion.frames import get_pose
from tests.makers.light import (
    LENGTHS,
    STACK,
    lif_image,
    ome_image,
    ome_xml,
    values,
    write_czi,
    write_lif,
    write_nd2,
    write_ome,
)
from volumes.readers import planes


def write_lof(path, image):
    """Write an object file: its mark with two versions, the block of the one image, then the XML."""
    xml, _, values = image
    xml = f'<LMSDataContainerHeader Version="2">{xml}</LMSDataContainerHeader>'
    mark = "LMS_Object_File"
    path.write_bytes(b"".join([
        struct.pack("<IIBI", 0x70, 2 * len(mark) + 15, 0x2A, len(mark)), mark.encode("utf-16-le"),
        struct.pack("<BIBIBQ", 0x2A, 2, 0x2A, 0, 0x2A, len(values)), values,
        struct.pack("<IIBI", 0x70, 2 * len(xml) + 5, 0x2A, len(xml)), xml.encode("utf-16-le"),
    ]))  # fmt: skip
    return path


def steps_of(ds):
    return {dim: float(ds[dim][1] - ds[dim][0]) for dim in ("time", "z", "y", "x") if dim in ds.dims}


class TestCzi:
    def test_a_stack_of_two_channels(self, tmp_path):
        data = values(1, 3, 2, 5, 7)
        ds = fusion.check(volumes.open(write_czi(tmp_path / "cell.czi", data)))
        assert ds["image"].dims == ("z", "y", "x", "channel")
        assert ds["image"].dtype == np.uint16
        np.testing.assert_array_equal(ds["image"], data[0].transpose(0, 2, 3, 1))
        assert ds["image"].isel(z=2, channel=1, y=4, x=6) == 2146
        assert ds["channel"].values.tolist() == ["DAPI", "GFP"]
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 0.1})
        assert "technique" not in ds.attrs
        assert "<SizeZ>3" in json.loads(ds.attrs["original_metadata"])["czi"]

    def test_scenes_are_items_with_a_place_on_the_stage(self, tmp_path):
        def edit(xml):
            scenes = "".join(
                f'<Scene Index="{i}" Name="A{i}"><CenterPosition>{100 + i},{200 + i}</CenterPosition></Scene>'
                for i in range(2)
            )
            return xml.replace("<Dimensions>", f"<Dimensions><S><Scenes>{scenes}</Scenes></S>")

        data = values(1, 1, 1, 5, 7)
        path = write_czi(tmp_path / "wells.czi", data, scenes=2, names=("DAPI",), edit=edit)
        assert [(item.name, item.dims, item.shape) for item in volumes.contents(path)] == [
            ("A0", ("y", "x"), (5, 7)), ("A1", ("y", "x"), (5, 7)),
        ]  # fmt: skip
        with pytest.raises(FileReadError, match="choose one by name"):
            volumes.open(path)
        first, second = (volumes.open(path, name=name) for name in ("A0", "A1"))
        np.testing.assert_array_equal(second["image"], data[0, 0, 0] + 5000)
        for i, ds in enumerate((first, second)):
            pose, frame = get_pose(ds)
            assert frame.startswith("stage of wells.czi")
            middle = [0.0, float(ds["y"].mean()), float(ds["x"].mean())]
            assert pose(middle) == pytest.approx([0.0, 200.0 + i, 100.0 + i])
        assert fusion.frames.between(first, second)([0, 0, 0]) == pytest.approx([0, -1, -1])

    def test_colour_and_technique(self, tmp_path):
        def edit(xml):
            return xml.replace("<PixelType>", "<AcquisitionMode>WideField</AcquisitionMode><PixelType>", 1)

        data = np.stack([values(5, 7) + 100 * i for i in range(3)], axis=-1).astype(np.uint8)
        path = write_czi(tmp_path / "he.czi", data[np.newaxis, np.newaxis, np.newaxis], names=("H&E",), edit=edit)
        ds = volumes.open(path)
        assert ds["channel"].values.tolist() == ["red", "green", "blue"]
        with czi.open_czi(str(path)) as document:
            np.testing.assert_array_equal(ds["image"], document.read()[..., ::-1])
        assert ds["image"].isel(y=1, x=2, channel=0) == 212
        assert ds.attrs["technique"] == "widefield"

    @pytest.mark.parametrize(
        ("mode", "technique"),
        [("LaserScanningConfocalMicroscopy", "confocal"), ("STED", "STED"), ("PALM", "SMLM"), ("Other", None)],
    )
    def test_the_mode_that_all_channels_share(self, tmp_path, mode, technique):
        said = f"<AcquisitionMode>{mode}</AcquisitionMode><PixelType>"
        data = values(1, 3, 2, 5, 7)
        path = write_czi(tmp_path / "cell.czi", data, edit=lambda xml: xml.replace("<PixelType>", said))
        ds = fusion.check(volumes.open(path))
        assert ds.attrs.get("technique") == technique
        np.testing.assert_array_equal(ds["image"], data[0].transpose(0, 2, 3, 1))
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 0.1})

    def test_time_needs_a_step(self, tmp_path):
        data = values(4, 1, 1, 5, 7)
        path = write_czi(tmp_path / "film.czi", data, names=("DAPI",))
        with pytest.raises(FileReadError, match="step along 'time'"):
            volumes.open(path)
        ds = volumes.open(path, voxel={"time": "2 s"})
        assert ds["image"].dims == ("y", "x", "time")
        np.testing.assert_array_equal(ds["image"].transpose("time", "y", "x"), data[:, 0, 0])

    def test_no_size_is_px(self, tmp_path):
        ds = volumes.open(write_czi(tmp_path / "bare.czi", values(1, 1, 1, 5, 7), steps=(0, 0, 0), names=("a",)))
        assert ds["x"].attrs["units"] == "px"

    def test_a_stack_that_was_stopped_is_not_filled_with_zeros(self, tmp_path):
        path = tmp_path / "stopped.czi"
        with czi.create_czi(str(path)) as document:
            for z, c in ((0, 0), (0, 1), (1, 0)):
                document.write(values(5, 7)[..., np.newaxis], plane={"Z": z, "C": c})
            document.write_metadata("doc")
        with pytest.raises(FileReadError, match="it holds 3 of its 4 planes"):
            volumes.open(path)

    def test_large_files_stay_lazy(self, tmp_path, monkeypatch, direct):
        monkeypatch.setattr(planes, "LAZY_ABOVE", 100)
        data = values(2, 3, 2, 5, 7)
        ds = volumes.open(write_czi(tmp_path / "large.czi", data), voxel={"time": "1 s"})
        assert ds["image"].chunks is not None
        np.testing.assert_array_equal(ds["image"].transpose("time", "z", "channel", "y", "x"), data)


CONFOCAL = '<Attachment Name="HardwareSetting" DataSourceTypeName="Confocal" SystemTypeName="TCS SP8"/>'


class TestLif:
    def test_a_stack_of_two_channels(self, tmp_path):
        data = values(3, 2, 5, 7)
        image = lif_image("cell", data, "zcyx", LENGTHS, dyes=("DAPI", "GFP"), attachment=CONFOCAL)
        path = write_lif(tmp_path / "project.lif", image)
        with liffile.LifFile(path) as file:
            np.testing.assert_array_equal(file.images[0].asarray(), data)
        ds = fusion.check(volumes.open(path))
        assert ds["image"].dims == ("z", "y", "x", "channel")
        np.testing.assert_array_equal(ds["image"], data[::-1].transpose(0, 2, 3, 1))
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 1.0})
        assert ds["z"].values == pytest.approx([2.0, 2.5, 3.0])
        assert ds["image"].sel(z=3.0, method="nearest").isel(channel=1, y=4, x=6) == 146
        assert ds["channel"].values.tolist() == ["DAPI", "GFP"]
        assert (ds.attrs["technique"], ds.attrs["instrument"]) == ("confocal", "TCS SP8")

    def test_an_image_of_a_camera(self, tmp_path):
        data = values(5, 7)
        camera = CONFOCAL.replace("Confocal", "Widefield")
        ds = volumes.open(write_lif(tmp_path / "camera.lif", lif_image("cell", data, "yx", LENGTHS, attachment=camera)))
        np.testing.assert_array_equal(ds["image"], data)
        assert ds.attrs["technique"] == "widefield"

    def test_an_object_file_holds_one_image(self, tmp_path):
        data = values(3, 2, 5, 7)
        image = lif_image("cell", data, "zcyx", LENGTHS, dyes=("DAPI", "GFP"), attachment=CONFOCAL)
        path = write_lof(tmp_path / "cell.lof", image)
        with liffile.LifFile(path) as file:
            np.testing.assert_array_equal(file.images[0].asarray(), data)
        ds = fusion.check(volumes.open(path))
        np.testing.assert_array_equal(ds["image"], data[::-1].transpose(0, 2, 3, 1))
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.2, "x": 1.0})
        assert (ds["channel"].values.tolist(), ds.attrs["technique"]) == (["DAPI", "GFP"], "confocal")
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(FileReadError):
            volumes.open(path)

    def test_a_film_with_the_names_of_colours(self, tmp_path):
        data = values(4, 2, 5, 7)
        path = write_lif(tmp_path / "film.lif", lif_image("film", data, "tcyx", LENGTHS, luts=("Green", "Red")))
        ds = volumes.open(path)
        np.testing.assert_array_equal(ds["image"].transpose("time", "channel", "y", "x"), data)
        assert ds["time"].values.tolist() == [0, 10, 20, 30]
        assert ds["channel"].values.tolist() == ["Green", "Red"]
        assert "technique" not in ds.attrs

    def test_images_are_items(self, tmp_path):
        first, second = values(5, 7), values(4, 6) + 500
        images = [lif_image(name, data, "yx", LENGTHS) for name, data in (("one", first), ("two", second))]
        path = write_lif(tmp_path / "project.lif", *images)
        assert [(item.name, item.shape) for item in volumes.contents(path)] == [("one", (5, 7)), ("two", (4, 6))]
        np.testing.assert_array_equal(volumes.open(path, name="two")["image"], second)

    def test_an_image_without_lengths_is_in_px(self, tmp_path):
        none = dict.fromkeys("xy", (0.0, 0.0))
        ds = volumes.open(write_lif(tmp_path / "bare.lif", lif_image("bare", values(5, 7), "yx", none)))
        assert ds["x"].attrs["units"] == "px"

    def test_other_axes_are_named_by_the_user(self, tmp_path):
        data = values(3, 5, 7)
        path = write_lif(tmp_path / "lambda.lif", lif_image("lambda", data, "wyx", {**LENGTHS, "w": (5e-7, 1e-7)}))
        with pytest.raises(FileReadError, match="does not name the axes"):
            volumes.open(path)
        ds = volumes.open(path, dims=("channel", "y", "x"), voxel="1 um")
        np.testing.assert_array_equal(ds["image"].transpose("channel", "y", "x"), data)

    def test_large_files_stay_lazy(self, tmp_path, monkeypatch, direct):
        monkeypatch.setattr(planes, "LAZY_ABOVE", 100)
        data = values(3, 2, 5, 7)
        ds = volumes.open(write_lif(tmp_path / "project.lif", lif_image("cell", data, "zcyx", LENGTHS)))
        assert ds["image"].chunks is not None
        np.testing.assert_array_equal(ds["image"], data[::-1].transpose(0, 2, 3, 1))


TURNED = {"m_iXYUse0": 1, "m_iXOrientation0": -1, "m_iYOrientation0": 1}


class TestNd2:
    def test_a_stack_of_two_channels(self, tmp_path):
        data = values(3, 5, 7, 2)
        path = write_nd2(tmp_path / "cell.nd2", data, loops=[STACK], channels=("DAPI", "GFP"), masks=(0x201, 0x201))
        with nd2.ND2File(path) as file:
            np.testing.assert_array_equal(file.asarray(), data.transpose(0, 3, 1, 2))
        ds = fusion.check(volumes.open(path))
        assert ds["image"].dims == ("z", "y", "x", "channel")
        np.testing.assert_array_equal(ds["image"], data)
        assert ds["image"].isel(z=2, y=4, x=6, channel=1) == 2461
        assert ds["channel"].values.tolist() == ["DAPI", "GFP"]
        assert steps_of(ds) == pytest.approx({"z": 0.5, "y": 0.5, "x": 0.5})
        assert ds.attrs["technique"] == "confocal"

    def test_a_stack_from_the_top(self, tmp_path):
        data = values(3, 5, 7, 1)
        loop = (4, {**STACK[1], "iType": 6})
        ds = volumes.open(write_nd2(tmp_path / "down.nd2", data, loops=[loop]))
        np.testing.assert_array_equal(ds["image"], data[::-1, ..., 0])
        assert (np.diff(ds["z"]) > 0).all()

    def test_positions_are_items(self, tmp_path):
        points = {
            f"i{i:010}": {"dPosX": 10.0 * i, "dPosY": 20.0 * i, "dPosZ": 0.0, "dPosName": f"B{i}"} for i in range(2)
        }
        data = values(8, 5, 7, 1)
        loops = [(1, {"uiCount": 4, "dStart": 0.0, "dPeriod": 2500.0, "dDuration": 0.0}), (2, {"Points": points})]
        path = write_nd2(tmp_path / "plate.nd2", data, loops=loops, settings=TURNED)
        assert [item.name for item in volumes.contents(path)] == ["position 0 B0", "position 1 B1"]
        ds = volumes.open(path, name="position 1 B1")
        np.testing.assert_array_equal(ds["image"].transpose("time", "y", "x"), data[1::2, ..., 0])
        assert ds["time"].values.tolist() == [0, 2.5, 5, 7.5]
        shift = fusion.frames.between(ds, volumes.open(path, name="position 0 B0"))
        assert shift([0, 0, 0]) == pytest.approx([0, 20, -10])  # x of the stage runs against that of the image

    def test_the_middle_of_the_image_lies_at_the_stage(self, tmp_path):
        path = write_nd2(tmp_path / "placed.nd2", values(1, 5, 7, 1), place=(300.0, 400.0, 50.0), settings=TURNED)
        ds = volumes.open(path)
        pose, frame = get_pose(ds)
        assert frame.startswith("stage of")
        assert pose([0.0, float(ds["y"].mean()), float(ds["x"].mean())]) == pytest.approx([50, 400, 300])
        assert pose([0.0, 0.0, 1.0]) - pose([0.0, 0.0, 0.0]) == pytest.approx([0, 0, -1])

    def test_without_orientation_there_is_no_stage(self, tmp_path):
        ds = volumes.open(write_nd2(tmp_path / "loose.nd2", values(1, 5, 7, 1), place=(300.0, 400.0, 50.0)))
        assert get_pose(ds)[1].startswith("loose.nd2")

    @pytest.mark.parametrize(
        ("masks", "technique"),
        [((0x101, 0x101), None), ((0x201, 0x20001), None), ((0x401, 0x401), "confocal")],
    )
    def test_only_a_shared_technique_is_named(self, tmp_path, masks, technique):
        path = write_nd2(tmp_path / "cell.nd2", values(1, 5, 7, 2), channels=("a", "b"), masks=masks)
        ds = fusion.check(volumes.open(path))
        assert ds.attrs.get("technique") == technique
        np.testing.assert_array_equal(ds["image"], values(1, 5, 7, 2)[0])
        assert steps_of(ds) == pytest.approx({"y": 0.5, "x": 0.5})

    def test_no_calibration_is_px(self, tmp_path):
        ds = volumes.open(write_nd2(tmp_path / "bare.nd2", values(1, 5, 7, 1), step=None))
        assert ds["x"].attrs["units"] == "px"

    def test_an_acquisition_that_was_stopped_is_refused(self, tmp_path):
        with pytest.raises(FileReadError, match="1 of its 3 frames are missing"):
            volumes.open(write_nd2(tmp_path / "stopped.nd2", values(2, 5, 7, 1), loops=[STACK]))

    def test_large_files_stay_lazy(self, tmp_path, monkeypatch, direct):
        monkeypatch.setattr(planes, "LAZY_ABOVE", 100)
        data = values(3, 5, 7, 2)
        ds = volumes.open(write_nd2(tmp_path / "large.nd2", data, loops=[STACK], channels=("a", "b")))
        assert ds["image"].chunks is not None
        np.testing.assert_array_equal(ds["image"], data)


WRITERS = {
    "czi": lambda path: write_czi(path, values(1, 3, 2, 50, 70)),
    "lif": lambda path: write_lif(path, *(lif_image(n, values(3, 2, 50, 70), "zcyx", LENGTHS) for n in ("a", "b"))),
    "nd2": lambda path: write_nd2(path, values(3, 50, 70, 1), loops=[STACK]),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_cut_short_is_never_opened(tmp_path, kind):
    content = WRITERS[kind](tmp_path / f"whole.{kind}").read_bytes()
    cut = tmp_path / f"cut.{kind}"
    for tenth in range(10):
        cut.write_bytes(content[: len(content) * tenth // 10 + 1])
        with pytest.raises(FileReadError):
            volumes.open(cut)
        with pytest.raises(FileReadError):
            volumes.contents(cut)


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bytes_do_no_more_than_raise(tmp_path, kind):
    """In a process of its own, since a library in C++ might end it."""
    WRITERS[kind](tmp_path / f"whole.{kind}")
    code = (
        "import random, sys, warnings, volumes; from pathlib import Path; from fusion.errors import FileReadError\n"
        "warnings.simplefilter('ignore'); random.seed(0); content = Path(sys.argv[1]).read_bytes()\n"
        "for _ in range(30):\n"
        "    damaged = bytearray(content)\n"
        "    for at in random.sample(range(len(content)), 20): damaged[at] ^= 255\n"
        "    Path(sys.argv[2]).write_bytes(damaged)\n"
        "    try: volumes.contents(sys.argv[2])\n"
        "    except FileReadError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(("kind", "library"), [("czi", "pylibCZIrw"), ("lif", "liffile"), ("nd2", "nd2")])
def test_a_missing_library_is_named(tmp_path, monkeypatch, direct, kind, library):
    path = WRITERS[kind](tmp_path / f"whole.{kind}")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(FileReadError, match=rf"read by {library}, .* pip install conspectus\[lm\]"):
        volumes.open(path)


BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">{}]>'.format(
    "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
)


def test_a_header_that_blows_up_is_refused(tmp_path):
    xml, *rest = lif_image("cell", values(5, 7), "yx", LENGTHS)
    image = (xml.replace("<ImageDescription>", "<ImageDescription><Note>&j;</Note>"), *rest)
    with pytest.raises(FileReadError, match="damaged"):
        volumes.open(write_lif(tmp_path / "bomb.lif", image, head=BOMB))


def test_a_header_does_not_fetch_files(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("42")
    xml, *rest = lif_image("cell", values(5, 7), "yx", LENGTHS)
    image = (xml.replace("<ImageDescription>", "<ImageDescription><Note>&s;</Note>"), *rest)
    head = f'<!DOCTYPE b [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'
    with pytest.raises(FileReadError):
        volumes.open(write_lif(tmp_path / "leak.lif", image, head=head))


class TestOme:
    def test_the_middle_lies_at_the_stage(self, tmp_path):
        data = values(3, 5, 7)
        place = [(0.05 + 5e-4 * i, 2.0, 1.0) for i in range(3)]
        path = write_ome(tmp_path / "cell.ome.tif", ome_xml(ome_image("cell", data.shape, place=place)), data)
        ds = fusion.check(volumes.open(path))
        np.testing.assert_array_equal(ds["image"], data)
        pose, frame = get_pose(ds)
        assert frame.startswith("stage of cell.ome.tif")
        middle = [float(ds["z"][0]), float(ds["y"].mean()), float(ds["x"].mean())]
        assert pose(middle) == pytest.approx([50.0, 2000.0, 1000.0])

    @pytest.mark.parametrize("size", ["-0.1", "0", "NaN", "INF", "0,1"])
    def test_a_size_that_is_none_is_asked_for(self, tmp_path, size):
        path = tmp_path / "cell.ome.tif"
        tifffile.imwrite(path, values(5, 7), metadata={"axes": "YX", "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.75})
        whole = path.read_bytes()
        assert b'PhysicalSizeX="0.75"' in whole
        path.write_bytes(whole.replace(b'PhysicalSizeX="0.75"', f'PhysicalSizeX="{size}"'.encode().ljust(20)))
        with pytest.raises(FileReadError, match="known along y but not along x; give it"):
            volumes.open(path)

    def test_without_heights_it_is_placed_in_the_plane(self, tmp_path):
        xml = ome_xml(ome_image("cell", (1, 5, 7), place=[(None, 2.0, 1.0)]))
        ds = volumes.open(write_ome(tmp_path / "cell.ome.tif", xml, values(1, 5, 7)))
        assert get_pose(ds)[0]([0, 0.4, 0.3]) == pytest.approx([0, 2000, 1000])

    @pytest.mark.parametrize(
        ("place", "size"),
        [
            ([(0.0, 2.0, 1.0), (0.0, 2.0, 1.1)], None),  # the stage moved
            ([(0.0, 2.0, 1.0), (-0.1, 2.0, 1.0)], None),  # and not by the step of the stack
            ([(0.0, 2.0, 1.0), (None, 2.0, 1.0)], None),
            ([(0.0, None, 1.0), (0.0005, None, 1.0)], None),
            ([(0.0, 2.0, 1.0), (0.0005, 2.0, 1.0)], ""),  # no size of a pixel
        ],
    )
    def test_an_ambiguous_place_is_none(self, tmp_path, place, size):
        options = {} if size is None else {"size": size}
        xml = ome_xml(ome_image("cell", (2, 5, 7), place=place, **options))
        path = write_ome(tmp_path / "cell.ome.tif", xml, values(2, 5, 7))
        ds = volumes.open(path, voxel="1 um")
        assert get_pose(ds)[1].startswith("cell.ome.tif")

    def test_a_place_in_the_reference_frame_is_none(self, tmp_path):
        xml = ome_xml(ome_image("cell", (1, 5, 7), place=[(0.0, 2.0, 1.0)])).replace('"mm"', '"reference frame"')
        ds = volumes.open(write_ome(tmp_path / "cell.ome.tif", xml, values(1, 5, 7)))
        assert get_pose(ds)[1].startswith("cell.ome.tif")

    @pytest.mark.parametrize("names", [("left", "right"), ("tile", "tile")])
    def test_several_images(self, tmp_path, names):
        first, second = values(1, 5, 7), values(1, 5, 7) + 900
        images = [ome_image(name, (1, 5, 7), start=i, place=[(0.0, 2.0, 1.0 + i)]) for i, name in enumerate(names)]
        path = write_ome(tmp_path / "tiles.ome.tif", ome_xml(*images), first, second)
        listed = [item.name for item in volumes.contents(path)]
        assert listed == (list(names) if len(set(names)) == 2 else ["series 0", "series 1"])
        with pytest.raises(FileReadError, match="several places"):
            volumes.open(path)
        left, right = (volumes.open(path, name=name) for name in listed)
        np.testing.assert_array_equal(right["image"], second[0])
        assert fusion.frames.between(right, left)([0, 0, 0]) == pytest.approx([0, 0, 1000])

    @pytest.mark.parametrize(
        ("mode", "technique"),
        [
            ("LaserScanningConfocalMicroscopy", "confocal"),
            ("STED", "STED"),
            ("WideField", "widefield"),
            ("STORM", "SMLM"),
            ("Other", None),
        ],
    )
    def test_technique_channel_and_instrument(self, tmp_path, mode, technique):
        image = ome_image("cell", (1, 5, 7), channel=f'Name="DAPI" AcquisitionMode="{mode}"')
        scope = '<Instrument ID="Instrument:0"><Microscope Manufacturer="Leica" Model="SP8"/></Instrument>'
        ds = volumes.open(write_ome(tmp_path / "cell.ome.tif", ome_xml(image, more=scope), values(1, 5, 7)))
        assert ds.attrs.get("technique") == technique
        assert ds.attrs["instrument"] == "Leica SP8"
        np.testing.assert_array_equal(fusion.check(ds)["image"], values(1, 5, 7)[0])
        assert steps_of(ds) == pytest.approx({"y": 0.2, "x": 0.1})

    def test_pages_in_another_file_are_refused(self, tmp_path):
        data = '<TiffData IFD="0" FirstZ="1"><UUID FileName="other.ome.tif">urn:uuid:1</UUID></TiffData>'
        name, held, inner = ome_image("cell", (1, 5, 7), inner=data)
        xml = ome_xml((name, held.replace('SizeZ="1"', 'SizeZ="2"'), inner))
        write_ome(tmp_path / "other.ome.tif", ome_xml(ome_image("other", (1, 5, 7))), values(1, 5, 7))
        with pytest.raises(FileReadError):
            volumes.open(write_ome(tmp_path / "cell.ome.tif", xml, values(1, 5, 7)))

    @pytest.mark.parametrize("entity", ["bomb", "file"])
    def test_entities_are_not_expanded(self, tmp_path, entity):
        secret = tmp_path / "secret.txt"
        secret.write_text("42")
        head, name = (
            (BOMB, "j") if entity == "bomb" else (f'<!DOCTYPE b [<!ENTITY s SYSTEM "{secret.as_uri()}">]>', "s")
        )
        xml = ome_xml(ome_image("cell", (1, 5, 7), inner=f"<Note>&{name};</Note>"), head=head)
        path = write_ome(tmp_path / "bad.ome.tif", xml, values(1, 5, 7))
        tracemalloc.start()
        with pytest.raises(FileReadError, match="damaged"):
            volumes.open(path)
        assert tracemalloc.get_traced_memory()[1] < 5e7
        tracemalloc.stop()


class TestImageJ:
    def write(self, path, labels):
        said = {"axes": "ZCYX", "unit": "um", "spacing": 2.0, "Labels": labels}
        tifffile.imwrite(path, values(3, 2, 5, 7), imagej=True, resolution=(4.0, 4.0), metadata=said)
        return volumes.open(path)["channel"].values.tolist()

    def test_labels_that_repeat_in_all_planes_name_the_channels(self, tmp_path):
        assert self.write(tmp_path / "two.tif", ["DAPI", "GFP"] * 3) == ["DAPI", "GFP"]

    @pytest.mark.parametrize("labels", [["DAPI", "GFP"], ["a"] * 6, ["a", "b", "c", "d", "e", "f"], ["DAPI"]])
    def test_other_labels_do_not(self, tmp_path, labels):
        named = labels == ["DAPI", "GFP"]
        assert self.write(tmp_path / "two.tif", labels) == (labels if named else [0, 1])
