"""OME-TIFF: sizes, channels, technique and position from the XML."""

import tracemalloc

import numpy as np
import pytest
import tifffile

import fusion
import volumes
from fusion.errors import FileReadError
from fusion.frames import get_pose
from tests.makers.light import (
    BOMB,
    ome_image,
    ome_xml,
    steps_of,
    values,
    write_ome,
)


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

    @pytest.mark.parametrize(("unit", "um"), [("li", 25400 / 12), ("pt", 25400 / 72), ("thou", 25.4), ("Å", 1e-4)])
    def test_units_are_those_of_ome(self, tmp_path, unit, um):
        sizes = {f"PhysicalSize{dim}": 3.0 for dim in "YX"} | {f"PhysicalSize{dim}Unit": unit for dim in "YX"}
        tifffile.imwrite(tmp_path / "cell.ome.tif", values(5, 7), metadata={"axes": "YX", **sizes})
        assert steps_of(volumes.open(tmp_path / "cell.ome.tif"))["x"] == pytest.approx(3.0 * um)

    def test_an_unknown_unit_is_refused_until_the_user_gives_a_size(self, tmp_path):
        sizes = {f"PhysicalSize{dim}": 3.0 for dim in "YX"} | {f"PhysicalSize{dim}Unit": "zork" for dim in "YX"}
        path = tmp_path / "cell.ome.tif"
        tifffile.imwrite(path, values(5, 7), metadata={"axes": "YX", **sizes})
        with pytest.raises(FileReadError, match=r"a size of 3 along y in 'zork', which is no known unit of length"):
            volumes.open(path)
        assert steps_of(volumes.open(path, voxel="2 um"))["x"] == 2.0

    @pytest.mark.parametrize("size", ["-0.1", "0", "NaN", "INF", "0,1"])
    def test_a_size_that_is_none_is_asked_for(self, tmp_path, size):
        path = tmp_path / "cell.ome.tif"
        tifffile.imwrite(path, values(5, 7), metadata={"axes": "YX", "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.75})
        whole = path.read_bytes()
        assert b'PhysicalSizeX="0.75"' in whole
        path.write_bytes(whole.replace(b'PhysicalSizeX="0.75"', f'PhysicalSizeX="{size}"'.encode().ljust(20)))
        with pytest.raises(FileReadError, match="known along y but not along x; give it"):
            volumes.open(path)

    @pytest.mark.parametrize(
        ("times", "unit", "seconds"),
        [([0, 1.5, 4], "", 1), ([5, 30, 70], "ms", 1e-3), ([0, 1, 1], "", 0), ([0, 1], "", 0)],
    )
    def test_times_of_planes_are_an_axis(self, tmp_path, times, unit, seconds):
        said = f' DeltaTUnit="{unit}"' if unit else ""
        planes = "".join(f'<Plane TheT="{i}" TheZ="0" TheC="0" DeltaT="{at}"{said}/>' for i, at in enumerate(times))
        xml = ome_xml(ome_image("cell", (3, 5, 7), inner=planes)).replace('SizeZ="3"', 'SizeZ="1"')
        path = tmp_path / "cell.ome.tif"
        write_ome(path, xml.replace('SizeT="1"', 'SizeT="3"').replace("FirstZ", "FirstT"), values(3, 5, 7))
        if seconds:
            np.testing.assert_allclose(volumes.open(path)["time"], np.array(times) * seconds)
        else:
            with pytest.raises(FileReadError, match="does not give the step along 'time'"):
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

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
    @pytest.mark.parametrize("empty", ["<MetadataOnly/>", ""])
    def test_an_image_without_planes_gives_nobody_its_size(self, tmp_path, order, empty):
        sizes = (0.1, 0.2, 0.3)
        images = [
            ome_image(f"im{page}", (1, 5, 7), start=page, size=f'PhysicalSizeX="{sizes[page]}" PhysicalSizeY="1"')
            for page in order
        ]
        name, held, _ = ome_image("none", (1, 5, 7), size='PhysicalSizeX="9" PhysicalSizeY="9"')
        images.insert(1, (name, held, f'<Channel ID="Channel:9:0" SamplesPerPixel="1"/>{empty}'))
        pages = [values(1, 5, 7) + 100 * page for page in range(3)]
        path = write_ome(tmp_path / "a.ome.tif", ome_xml(*images), *pages)
        for page in order:
            ds = volumes.open(path, name=f"im{page}")
            assert steps_of(ds)["x"] == pytest.approx(sizes[page])
            np.testing.assert_array_equal(ds["image"], pages[page][0])

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
