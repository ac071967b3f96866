"""Hostile files, each written beside a secret and a mark that code from the file would leave."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import tifffile

from tests.makers import edax, light, localisations, mda, optical, probes
from tests.makers import hspy as hyperspy_files

SECRET = b"SECRET-of-another-file-" * 40
BCF = "edx/test_TEM.bcf"


class Scene:
    """A folder with the hostile file, one with a secret, and the mark that code from the file would leave."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.elsewhere = folder / "file", folder / "elsewhere"
        self.folder.mkdir()
        self.elsewhere.mkdir()
        self.secret = self.elsewhere / "secret.raw"
        self.secret.write_bytes(SECRET)
        self.mark, self.pickled, self.expression = hyperspy_files.trap(self.elsewhere)

    @property
    def laughs(self) -> str:
        lines = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
        return f'<!DOCTYPE b [<!ENTITY l0 "ha">{lines}]>'

    @property
    def leak(self) -> str:
        return f'<!DOCTYPE b [<!ENTITY l9 SYSTEM "{self.secret.as_uri()}">]>'


def hspy(scene, change):
    path = hyperspy_files.write(scene.folder / "a.hspy")
    with h5py.File(path, "a") as file:
        change(file, hyperspy_files.experiment(file))
    return "spectra", path


def expression_of_an_axis(scene):
    def change(_, group):
        for key, value in {"_type": "FunctionalDataAxis", "expression": scene.expression}.items():
            group["axis-1"].attrs[key] = value

    return hspy(scene, change)


def stored_model(scene):
    def change(file, group):
        component = file.create_group("Analysis/models/a/components/component0")
        component.attrs["expression"], component.attrs["_bs_function"] = scene.expression, np.void(scene.pickled)
        file["Analysis/models/a"].attrs["_signal"] = group.name

    return hspy(scene, change)


def pickles_in_metadata(scene):
    return hspy(scene, lambda _, group: group["metadata"].attrs.update({"_bs_object": np.void(scene.pickled)}))


def ragged_shape(scene):
    def change(_, group):
        shapes = group.create_dataset("_ragged_shapes_data", (2,), h5py.vlen_dtype(np.uint8))
        shapes[0] = np.frombuffer(scene.pickled, np.uint8)

    return hspy(scene, change)


def pickled_array(scene):
    path = scene.folder / "a.npy"
    np.save(path, np.array([hyperspy_files.Trap(scene.mark)], dtype=object), allow_pickle=True)
    return "volumes", path


def hdf5(scene, change, name="a.h5"):
    path = scene.folder / name
    with h5py.File(path, "w") as file:
        file["image"] = np.arange(12.0).reshape(3, 4)
        change(file)
    return "volumes", path


def external_link(scene):
    with h5py.File(scene.elsewhere / "other.h5", "w") as file:
        file["secret"] = np.frombuffer(SECRET, np.uint8).reshape(40, -1)
    return hdf5(scene, lambda file: file.update({"out": h5py.ExternalLink("../elsewhere/other.h5", "/secret")}))


def external_storage(scene):
    kept = [(str(scene.secret), 0, len(SECRET))]
    return hdf5(scene, lambda file: file.create_dataset("out", (40, len(SECRET) // 40), "u1", external=kept))


def external_storage_in_a_map(scene):
    def change(_, group):
        del group["data"]
        group.create_dataset("data", (2, 3), "u1", external=[(str(scene.secret), 0, len(SECRET))])

    return hspy(scene, change)


def virtual_dataset(scene):
    with h5py.File(scene.elsewhere / "other.h5", "w") as file:
        file["secret"] = np.frombuffer(SECRET, np.uint8).reshape(40, -1)
    layout = h5py.VirtualLayout((40, len(SECRET) // 40), "u1")
    layout[:] = h5py.VirtualSource(scene.elsewhere / "other.h5", "secret", (40, len(SECRET) // 40))
    return hdf5(scene, lambda file: file.create_virtual_dataset("out", layout))


def netcdf_with_external_link(scene):
    with h5py.File(scene.elsewhere / "other.h5", "w") as file:
        file["secret"] = np.frombuffer(SECRET, np.uint8).reshape(40, -1)
    link = {"out": h5py.ExternalLink("../elsewhere/other.h5", "/secret")}
    return hdf5(scene, lambda file: file.update(link), "a.nc")


def netcdf_with_external_storage(scene):
    kept = [(str(scene.secret), 0, len(SECRET))]
    return hdf5(scene, lambda file: file.create_dataset("out", (40, len(SECRET) // 40), "u1", external=kept), "a.nc")


def nexus_with_external_storage(scene):
    def change(file):
        group = file.create_group("entry/data")
        file["entry"].attrs["NX_class"], group.attrs["NX_class"] = "NXentry", "NXdata"
        group.attrs["signal"], group.attrs["axes"] = "counts", ["energy"]
        group["energy"] = np.arange(len(SECRET), dtype=float)
        group["energy"].attrs["units"] = "eV"
        group.create_dataset("counts", (len(SECRET),), "u1", external=[(str(scene.secret), 0, len(SECRET))])

    return "spectra", hdf5(scene, change, "a.nxs")[1]


def circle_of_links(scene):
    return hdf5(scene, lambda file: file.update({"a": h5py.SoftLink("/b"), "b": h5py.SoftLink("/a")}))


def group_within_itself(scene):
    def change(file):
        file["inner"] = file["/"]

    return hdf5(scene, change)


def object_references(scene):
    def change(file):
        file.create_dataset("pointers", data=[[file.ref, file["image"].ref]] * 2, dtype=h5py.ref_dtype)

    return hdf5(scene, change)


def gzip_bomb(scene):
    """100 GB that take 400 kB in the file: chunks of zeros, compressed once and stored many times."""

    def change(file):
        del file["image"]
        shape, chunk = (10**5, 10**6), (1000, 1000)
        bomb = file.create_dataset("bomb", shape, "u1", chunks=chunk, compression="gzip")
        packed = zlib.compress(bytes(10**6))
        for i in range(100):
            bomb.id.write_direct_chunk((i * 1000, 0), packed)

    return hdf5(scene, change)


def chunk_larger_than_it_says(scene):
    def change(file):
        del file["image"]
        bomb = file.create_dataset("bomb", (4, 4), "u1", chunks=(4, 4), compression="gzip")
        bomb.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**28)))

    return hdf5(scene, change)


def ome(scene, head):
    xml = light.ome_xml(light.ome_image("&l9;", (1, 5, 7)), head=head).replace("&amp;", "&")
    return "volumes", light.write_ome(scene.folder / "a.ome.tif", xml, light.values(1, 5, 7))


def lif(scene, head):
    xml, *rest = light.lif_image("cell", light.values(5, 7), "yx", light.LENGTHS)
    image = (xml.replace("<ImageDescription>", "<ImageDescription><Note>&l9;</Note>"), *rest)
    return "volumes", light.write_lif(scene.folder / "a.lif", image, head=head)


def labspec(scene, head):
    made = optical
    path = made.labspec(scene.folder / "a.xml", made.MAP, made.SHIFT, "1/cm", made.FIELD, prolog=head)
    path.write_bytes(path.read_bytes().replace(b"glass", b"&l9;"))
    return "spectra", path


def trivista(scene, head):
    made = optical
    path = made.trivista(scene.folder / "a.tvf", made.MAP, made.WAVELENGTH, prolog=head)
    path.write_text(path.read_text().replace('Label="Intensity"', 'Label="&l9;"'))
    return "spectra", path


def trivista_inner(scene, head):
    made = optical
    return "spectra", made.trivista(scene.folder / "a.tvf", made.MAP, made.WAVELENGTH, inner=head)


def spx(scene, head):
    path = scene.folder / "a.spx"
    path.write_text(f"{head}<TRTSpectrum><ClassInstance><Channels>&l9;</Channels></ClassInstance></TRTSpectrum>")
    return "spectra", path


def bcf(scene, head):
    """Overwrite the XML within a measured map; the container stays sound."""
    from fusion.specimens.measured import locate

    content = locate(BCF, download=False).read_bytes()
    start, end = content.index(b"<?xml"), content.index(b"<ClassInstance")
    room = content.index(b"</", end) - start
    text = f'<?xml version="1.0"?>{head}<TRTSpectrumDatabase><a>&l9;</a>'.encode()
    room = max(room, len(text))
    path = scene.folder / "a.bcf"
    path.write_bytes(content[:start] + text.ljust(room) + content[start + room :])
    return "spectra", path


def xml(write, which):
    def made(scene):
        return write(scene, getattr(scene, which))

    made.__name__ = f"{write.__name__}_{which}"
    return made


def python_in_yaml(scene):
    path = localisations.picasso(scene.folder)[0]
    path.with_suffix(".yaml").write_text(f"!!python/object/apply:os.system ['touch {scene.mark}']\n")
    return "volumes", path


def yaml_laughs(scene):
    path = localisations.picasso(scene.folder)[0]
    lines = ["l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10)]
    path.with_suffix(".yaml").write_text("\n".join(lines))
    return "volumes", path


def deflate_bomb(scene):
    """10 GB of zeros in one strip."""
    path, packed = scene.folder / "a.tif", zlib.compressobj(9)
    strip = b"".join(packed.compress(bytes(2**24)) for _ in range(16)) + packed.flush()
    return "volumes", tiff(path, 10**5, 10**5, strip, compression=8)


def lzw_bomb(scene):
    path = scene.folder / "a.tif"
    tifffile.imwrite(path, np.zeros((1000, 1000), np.uint8), compression="lzw", rowsperstrip=1000)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        strip = path.read_bytes()[page.dataoffsets[0] :][: page.databytecounts[0]]
    return "volumes", tiff(path, 10**5, 10**5, strip, compression=5)


def tiff(path, width, height, strip=b"\0", *, compression=1, at=None, following=0):
    """Write a little TIFF with one strip and nine tags; `at` is where it says that the strip lies."""
    said = [(256, width), (257, height), (258, 8), (259, compression), (262, 1), (273, at or 8), (277, 1),
            (278, height), (279, len(strip))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in said)
    place = 8 + len(strip) + len(strip) % 2
    body = struct.pack("<2sHI", b"II", 42, place) + strip.ljust(place - 8, b"\0")
    path.write_bytes(body + struct.pack("<H", len(said)) + entries + struct.pack("<I", following))
    return path


def pages_in_a_circle(scene):
    strip = bytes(12)
    return "volumes", tiff(scene.folder / "a.tif", 4, 3, strip, following=8 + len(strip))


def page_beyond_the_end(scene):
    return "volumes", tiff(scene.folder / "a.tif", 4, 3, bytes(12), following=2**31)


def strip_beyond_the_end(scene):
    return "volumes", tiff(scene.folder / "a.tif", 4, 3, bytes(12), at=2**32 - 5)


def sizes_near_the_end_of_numbers(scene):
    path = scene.folder / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 4), np.uint8), bigtiff=True)
    content = path.read_bytes()
    for code in (256, 257):
        at = content.index(struct.pack("<H", code), 16)
        content = content[:at] + struct.pack("<HHQQ", code, 16, 1, 2**63 - 1) + content[at + 20 :]
    path.write_bytes(content)
    return "volumes", path


def image_of_another_file(scene):
    tifffile.imwrite(scene.elsewhere / "secret.tif", np.frombuffer(SECRET, np.uint8).reshape(40, -1))
    data = '<TiffData IFD="0"><UUID FileName="../elsewhere/secret.tif">urn:uuid:1</UUID></TiffData>'
    held = 'SizeX="23" SizeY="40" SizeZ="1" SizeC="1" SizeT="1"'
    text = light.ome_xml(("cell", held, f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}'))
    return "volumes", light.write_ome(scene.folder / "a.ome.tif", text, light.values(1, 5, 7))


def png(path, width, height, data):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def huge_png(scene):
    return "volumes", png(scene.folder / "a.png", 2**31 - 1, 2**31 - 1, zlib.compress(b"\0"))


def png_bomb(scene):
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(bytes(2**24)) for _ in range(20)) + packed.flush()
    return "volumes", png(scene.folder / "a.png", 13000, 13000, data)


def name_that_climbs(scene):
    """Write an EDAX map whose header names the file of its calibration."""
    path = edax.spd(scene.folder / "a.spd", placed=False)
    name = b"../elsewhere/secret.raw"
    path.write_bytes(path.read_bytes().replace(b"image.bmp", name + b"\0", 1))
    (scene.elsewhere / "secret.ipr").write_bytes(SECRET)
    return "spectra", path


def calibration_that_is_a_link(scene):
    path = edax.spd(scene.folder / "a.spd", calibrated=False)
    path.with_suffix(".spc").symlink_to(scene.secret)
    return "spectra", path


def slices_that_are_links(scene):
    tifffile.imwrite(scene.elsewhere / "secret.tif", np.frombuffer(SECRET, np.uint8).reshape(40, -1))
    for name in ("1.tif", "2.tif"):
        (scene.folder / name).symlink_to(scene.elsewhere / "secret.tif")
    return "volumes", scene.folder


def values_beside_that_are_a_link(scene):
    path = scene.folder / "a.rpl"
    said = {"width": 4, "height": 5, "depth": 46, "offset": 0, "data-length": 1, "data-type": "unsigned",
            "byte-order": "dont-care", "record-by": "vector"}  # fmt: skip
    path.write_text("key\tvalue\n" + "".join(f"{key}\t{value}\n" for key, value in said.items()))
    path.with_suffix(".raw").symlink_to(scene.secret)
    return "spectra", path


def object_of_matlab(scene):
    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    flags = element(6, struct.pack("<II", 17, 0))  # mxOPAQUE_CLASS
    words = b"".join(element(1, word.ljust(8, b"\0")) for word in (b"a", b"java", b"Runtime"))
    body = element(14, flags + words + element(9, scene.pickled))
    path = scene.folder / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x100, b"IM") + body)
    return "volumes", path


def bomb_of_matlab(scene):
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(bytes(2**24)) for _ in range(100)) + packed.flush()
    path = scene.folder / "a.mat"
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x100, b"IM")
    path.write_bytes(head + struct.pack("<II", 15, len(data)) + data)
    return "volumes", path


def absurd_mrc(scene):
    path = scene.folder / "a.mrc"
    head = bytearray(1024)
    struct.pack_into("<4i", head, 0, 2**31 - 1, 2**31 - 1, 2**31 - 1, 2)
    head[208:216] = b"MAP \x44\x44\0\0"
    path.write_bytes(bytes(head) + bytes(100))
    return "volumes", path


def attributes_that_change_values(scene):
    def change(file):
        file["image"].attrs["scale_factor"], file["image"].attrs["units"] = np.inf, "seconds since 1970-01-01"
        file["image"].attrs["_FillValue"] = 5.0

    return hdf5(scene, change, "a.nc")


def a_million_columns(scene):
    titles = ",".join(['"x [nm]"', '"y [nm]"', *(f'"c{i}"' for i in range(10**6))])
    return "volumes", localisations.thunderstorm(scene.folder, ",".join(["1"] * (10**6 + 2)), titles=titles)


def endless_line(scene):
    path = scene.folder / "a.txt"
    path.write_bytes(b"X-Axis\t" + b"(0/0)\t" * 10**6)
    return "spectra", path


def map_of_1e18_places(scene):
    path = scene.folder / "a.txt"
    path.write_text("X-Axis\ta(999999999/999999999)\nrel. 1/cm\tCCD cts\n100\t1\n200\t2\n")
    return "spectra", path


def scans_in_a_circle(scene):
    """Write a map in which the scan of each row begins where the whole scan does."""
    path = mda.write(scene.folder / "a.mda", mda.spectral_map(np.arange(60.0).reshape(3, 4, 5)))
    content = bytearray(path.read_bytes())
    start = 4 + 4 + 4 + 4 * 3 + 4 + 4
    for row in range(3):
        struct.pack_into(">i", content, start + 12 + 4 * row, start)
    path.write_bytes(content)
    return "spectra", path


def endless_gwyddion(scene):
    path = probes.write_gwyddion(scene.folder)
    path.write_bytes(path.read_bytes().replace(b"Topography\0", b"Topography?"))
    return "volumes", path


HOSTILE = [
    expression_of_an_axis, stored_model, pickles_in_metadata, ragged_shape, pickled_array, external_link,
    external_storage, external_storage_in_a_map, virtual_dataset, netcdf_with_external_link,
    netcdf_with_external_storage, nexus_with_external_storage, circle_of_links, group_within_itself, object_references,
    gzip_bomb, chunk_larger_than_it_says, *(xml(write, which) for which in ("laughs", "leak")
    for write in (ome, lif, labspec, trivista, trivista_inner, spx, bcf)), python_in_yaml, yaml_laughs, deflate_bomb,
    lzw_bomb, pages_in_a_circle, page_beyond_the_end, strip_beyond_the_end, sizes_near_the_end_of_numbers,
    image_of_another_file, huge_png, png_bomb, name_that_climbs, calibration_that_is_a_link, slices_that_are_links,
    values_beside_that_are_a_link, object_of_matlab, bomb_of_matlab, absurd_mrc, attributes_that_change_values,
    a_million_columns, endless_line, map_of_1e18_places, scans_in_a_circle, endless_gwyddion,
]  # fmt: skip
