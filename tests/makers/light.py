"""Small files of light microscopes (CZI, ND2, LIF, OME-TIFF), written by hand."""

import struct
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile
from pylibCZIrw import czi

PROBE = {"m_sName": "dye", "m_ExcitationSpectrum": {"uiCount": 0}, "m_EmissionSpectrum": {"uiCount": 0}}
LEICA = {"x": ("1", "m"), "y": ("2", "m"), "z": ("3", "m"), "t": ("4", "s"), "w": ("5", "m")}


def lif_image(name, values, dims, lengths, *, dyes=(), luts=(), attachment="", block=None):
    """Return the XML of an image and its memory block; `values` are stored as they are, `lengths` by dim."""
    item, channels = values.itemsize, dict(zip(dims, values.shape, strict=True)).get("c", 1)
    strides = dict(zip(dims, np.ascontiguousarray(values).strides, strict=True))
    described = "".join(
        f'<DimensionDescription DimID="{LEICA[dim][0]}" NumberOfElements="{size}" Origin="{lengths[dim][0]}" '
        f'Length="{lengths[dim][1]}" Unit="{LEICA[dim][1]}" BitInc="0" BytesInc="{strides[dim]}"/>'
        for dim, size in reversed(list(zip(dims, values.shape, strict=True)))
        if dim != "c"
    )
    listed = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * item}" NameOfMeasuredQuantity="" Min="0" '
        f'Max="1" Unit="" LUTName={quoteattr(luts[i] if luts else "Gray")} IsLUTInverted="0" '
        f'BytesInc="{i * strides.get("c", 0)}" BitInc="0">'
        + (f"<ChannelProperty><Key>DyeName</Key><Value>{dyes[i]}</Value></ChannelProperty>" if dyes else "")
        + "</ChannelDescription>"
        for i in range(channels)
    )
    block = block or f"MemBlock_{name}"
    xml = (
        f"<Element Name={quoteattr(name)} UniqueID={quoteattr(name)}><Data><Image><ImageDescription>"
        f"<Channels>{listed}</Channels><Dimensions>{described}</Dimensions></ImageDescription>{attachment}</Image></Data>"
        f'<Memory Size="{values.nbytes}" MemoryBlockID="{block}"/></Element>'
    )
    return xml, block, values.tobytes()


def write_lif(path, *images, head=""):
    """Write a LIF file of version 2: the header, then a block for each image (Leica Image File Formats 3.2)."""
    xml = (
        f'{head}<LMSDataContainerHeader Version="2"><Element Name="project.lif" UniqueID="0"><Children>'
        f"{''.join(image[0] for image in images)}</Children></Element></LMSDataContainerHeader>"
    )
    parts = [struct.pack("<IIBI", 0x70, 2 * len(xml) + 5, 0x2A, len(xml)), xml.encode("utf-16-le")]
    for _, block, values in images:
        parts += [struct.pack("<IIBQBI", 0x70, 2 * len(block) + 14, 0x2A, len(values), 0x2A, len(block))]
        parts += [block.encode("utf-16-le"), values]
    path.write_bytes(b"".join(parts))
    return path


def clx(tree):
    """Return a tree of dicts, lists, numbers and texts as the XML that NIS-Elements keeps in its chunks."""

    def node(key, value):
        if isinstance(value, dict | list):
            pairs = value.items() if isinstance(value, dict) else (("no_name", item) for item in value)
            return f'<{key} runtype="CLxVariant">{"".join(node(*pair) for pair in pairs)}</{key}>'
        kinds = {bool: "bool", int: "lx_int64", float: "double", str: "CLxStringW"}
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f'<{key} runtype="{kinds[type(value)]}" value={quoteattr(text)}/>'

    return f'<variant version="1.0">{"".join(node(*pair) for pair in tree.items())}</variant>'.encode()


def write_nd2(path, frames, *, loops=(), channels=("DAPI",), step=0.5, place=(0.0, 0.0, 0.0), masks=None, settings=None,
              count=None):  # fmt: skip
    """Write an ND2 file of version 3: chunks with a head of 16 bytes, a name, and values; their places at the end.

    `frames` are (frame, y, x, channel), `loops` pairs of a kind and its parameters, the outermost first.
    """
    number, height, width, components = frames.shape
    item = frames.itemsize
    attributes = {
        "uiWidth": width, "uiHeight": height, "uiWidthBytes": width * components * item, "uiComp": components,
        "uiBpcInMemory": 8 * item, "uiBpcSignificant": 8 * item, "eCompression": 2,
        "uiSequenceCount": count or number, "uiTileWidth": width, "uiTileHeight": height,
    }  # fmt: skip
    planes = [
        {
            "sDescription": name,
            "uiCompCount": components // len(channels),
            "uiSampleIndex": 0,
            "pFluorescentProbe": PROBE,
        }
        | ({"uiModalityMask": masks[i]} if masks else {})
        for i, name in enumerate(channels)
    ]
    picture = {
        "bCalibrated": step is not None, "dCalibration": step or 0.0, "dXPos": place[0], "dYPos": place[1],
        "dZPos": place[2],
        "sPicturePlanes": {
            "uiCount": len(channels), "sPlaneNew": {f"a{i}": plane for i, plane in enumerate(planes)},
            "sSampleSetting": {"a0": {"pDeviceSetting": settings}} if settings else {},
        },
    }  # fmt: skip
    experiment: dict = {}
    for kind, parameters in reversed(loops):
        inner = {"ppNextLevelEx": {"i0000000000": experiment}} if experiment else {}
        experiment = {"eType": kind, "uLoopPars": parameters, **inner}
    chunks = {"ImageAttributesLV!": clx({"SLxImageAttributes": attributes})}
    chunks["ImageMetadataSeqLV|0!"] = clx({"SLxPictureMetadata": picture})
    if experiment:
        chunks["ImageMetadataLV!"] = clx({"SLxExperiment": experiment})
    chunks["CustomData|AcqTimesCache!"] = np.arange(number, dtype="f8").tobytes()
    chunks |= {f"ImageDataSeq|{i}!": struct.pack("<d", i) + frames[i].tobytes() for i in range(number)}
    content = chunk("ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32)
    places = b""
    for name, values in chunks.items():
        places += name.encode() + struct.pack("<QQ", len(content), len(values))
        content += chunk(name, values)
    start = len(content)
    places += b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", start)
    path.write_bytes(content + chunk("ND2 FILEMAP SIGNATURE NAME 0001!", places))
    return path


def chunk(name, values, room=4072):
    return struct.pack("<IIQ", 0x0ABECEDA, room, len(values)) + name.encode().ljust(room, b"\0") + values


def values(*shape):
    """Return numbers that say where they are: 1000, 100, 10, 1 of the first to the last index."""
    weights = 10 ** np.arange(len(shape))[::-1]
    return np.tensordot(weights, np.indices(shape), axes=1).astype(np.uint16)


def write_czi(path, data, *, scenes=1, steps=(0.5, 0.2, 0.1), names=("DAPI", "GFP"), edit=None):
    """Write t, z, c, y, x (perhaps with colour last) as Zeiss' own library does; `edit` changes the metadata."""
    with czi.create_czi(str(path), exist_ok=True) as document:
        for t, z, c in np.ndindex(*data.shape[:3]):
            for scene in range(scenes):
                plane = data[t, z, c] + scene * 5000
                tile = plane if plane.ndim == 3 else plane[..., np.newaxis]
                document.write(tile, plane={"T": t, "Z": z, "C": c}, scene=scene, location=(40 * scene, 3 - 9 * scene))
        z, y, x = steps
        document.write_metadata("doc", channel_names=dict(enumerate(names)), scale_x=x * 1e-6, scale_y=y * 1e-6,
                                scale_z=z * 1e-6)  # fmt: skip
    if edit:
        with czi.edit_czi(str(path)) as editor, editor.edit_session() as builder:
            builder.set_xml(edit(builder.get_xml()))
    return path


LENGTHS = {"x": (0.0, 6e-6), "y": (0.0, 8e-7), "z": (3e-6, -1e-6), "t": (0.0, 30.0)}
STACK = (4, {"uiCount": 3, "dZLow": 0.0, "dZHigh": 1.0, "dZStep": 0.5, "dZHome": 0.0, "iType": 2})


def ome_xml(*images, head="", more=""):
    """Return OME-XML of images that are pairs of attributes of Pixels and the elements within."""
    listed = "".join(
        f'<Image ID="Image:{i}" Name={quoteattr(name)}><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint16" '
        f"{attributes}>{inner}</Pixels></Image>"
        for i, (name, attributes, inner) in enumerate(images)
    )
    return f'{head}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{more}{listed}</OME>'


def write_ome(path, xml, *arrays):
    with tifffile.TiffWriter(path, ome=False) as writer:
        for i, pages in enumerate(arrays):
            for k, page in enumerate(pages):
                described = {"description": xml.encode()} if i == k == 0 else {}
                writer.write(page, contiguous=False, metadata=None, **described)
    return path


def ome_image(name, shape, *, inner="", start=0, place=(), size='PhysicalSizeX="0.1" PhysicalSizeY="0.2"', channel=""):
    """Return an image of (z, y, x) on the pages from `start`, with a place (z, y, x) of the stage for each plane."""
    z, y, x = shape
    planes_ = "".join(
        f'<Plane TheZ="{i}" TheC="0" TheT="0" '
        + " ".join(f'Position{k}="{v}" Position{k}Unit="mm"' for k, v in zip("ZYX", at, strict=True) if v is not None)
        + "/>"
        for i, at in enumerate(place)
    )
    held = f'SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="1" SizeT="1" {size} PhysicalSizeZ="0.5"'
    data = "".join(f'<TiffData IFD="{start + i}" FirstZ="{i}" PlaneCount="1"/>' for i in range(z))
    return name, held, f'<Channel ID="Channel:0:0" SamplesPerPixel="1" {channel}/>{data}{planes_}{inner}'


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


BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">{}]>'.format(
    "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
)
