"""Leica LIF and LOF files: each image is an item, with its dimensions in m and s."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.opening import readable
from fusion.reading.stored_array import StoredArray, Unreadable, missing
from volumes.readers import planes

_DIMS: Final = {"T": "time", "Z": "z", "Y": "y", "X": "x", "C": "channel", "S": "channel"}
_NUMBERED: Final = {"1": "x", "2": "y", "3": "z", "4": "time"}
_TECHNIQUES: Final = {"Confocal": "confocal", "Widefield": "widefield"}
_DESCRIPTION: Final = "./Data/Image/ImageDescription"


def is_leica(head: bytes) -> bool:
    """Whether a file begins as the file formats of Leica do (Leica Image File Formats 3.2, section 2)."""
    return head[:4] == b"\x70\0\0\0" and head[8:9] == b"\x2a"


def arrays(path: Path) -> list[StoredArray | Unreadable]:
    """List the images of a file; those with axes of other kinds, mosaics and lambda stacks, are left without names."""
    with _opened(path) as file:
        _require_whole(path, file)
        images = list(file.images)
        several = len(images) > 1
        return [
            readable(path, image.path, partial(_array, path, image, index, several))
            for index, image in enumerate(images)
        ]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import liffile
    except ImportError as error:
        raise missing(path, "liffile", "lm") from error
    with liffile.LifFile(path) as file:
        yield file


def _require_whole(path: Path, file: Any) -> None:
    """Refuse a file that is cut short; liffile lists the blocks that are left."""
    size = path.stat().st_size
    named = {item.get("MemoryBlockID") for item in file.xml_element.iter("Memory") if int(item.get("Size", "0"))}
    short = [block.id for block in file.memory_blocks.values() if block.offset + block.size > size]
    if short or (file.type.name == "LIF" and not named <= set(file.memory_blocks)):
        raise FileReadError(path, "the file is cut short", hint="copy it again from the microscope")


def _array(path: Path, image: Any, index: int, several: bool) -> StoredArray:
    element = image.xml_element
    dims = tuple(_DIMS.get(code, "") for code in image.dims)
    known = "" not in dims and len(set(dims)) == len(dims)
    return StoredArray(
        name=image.path if several else "",
        dims=dims if known else None,
        shape=image.shape,
        dtype=image.dtype,
        load=partial(_load, path, index, image.shape, image.dtype),
        axes=_axes(element, dims),
        labels=_labels(element, image.sizes),
        dataset_attrs=_about(element),
        metadata={"lif": ElementTree.tostring(element, encoding="unicode")},
    )


def _load(path: Path, index: int, shape: tuple[int, ...], dtype: Any) -> Any:
    with _opened(path) as file:
        image = file.images[index]
        if not planes.is_large(shape, dtype):
            return image.asarray()
        frame = image.frames.frame_shape
    return planes.stacked(partial(_frames, path, index), shape[: len(shape) - len(frame)], frame, dtype)


def _frames(path: Path, index: int, indices: Sequence[planes.Index]) -> list[Any]:
    with _opened(path) as file:
        frames = file.images[index].frames
        return [frames[index] for index in indices]


def _axes(element: ElementTree.Element, dims: Sequence[str]) -> dict[str, Axis]:
    """Return steps and offsets; a length reaches from the first element to the last."""
    axes = {}
    for item in element.findall(f"{_DESCRIPTION}/Dimensions/DimensionDescription"):
        dim, size = _NUMBERED.get(item.get("DimID", ""), ""), int(item.get("NumberOfElements", "0"))
        reach, unit = float(item.get("Length", "0")), item.get("Unit", "")
        if dim in dims and size > 1 and reach and unit in ("m", "s"):
            axes[dim] = Axis(unit, step=reach / (size - 1), offset=float(item.get("Origin", "0")))
    return axes


def _labels(element: ElementTree.Element, sizes: dict[str, int]) -> dict[str, Sequence[str]]:
    """Return the names of dyes, else of the colours in which the channels are shown."""
    if "S" in sizes:
        return {"channel": ("red", "green", "blue", "alpha")[: sizes["S"]]}
    channels = element.findall(f"{_DESCRIPTION}/Channels/ChannelDescription")
    dyes = [{item.findtext("Key"): item.findtext("Value") for item in channel} for channel in channels]
    for names in ([dye.get("DyeName") or "" for dye in dyes], [channel.get("LUTName", "") for channel in channels]):
        if len(names) == sizes.get("C") and planes.distinct(names):
            return {"channel": names}
    return {}


def _about(element: ElementTree.Element) -> dict[str, str]:
    settings = element.find("./Data/Image/Attachment[@Name='HardwareSetting']")
    if settings is None:
        return {}
    about = {
        "technique": _TECHNIQUES.get(settings.get("DataSourceTypeName", "")),
        "instrument": settings.get("SystemTypeName"),
    }
    return {key: value for key, value in about.items() if value}
