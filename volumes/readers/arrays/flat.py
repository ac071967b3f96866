"""Flat images: PNG, JPEG and BMP, with the values that are stored."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError
from fusion.reading.stored_array import IMAGE, StoredArray
from volumes.readers.arrays import orientation

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_CHANNELS: Final = {"LA": ("grey", "alpha"), "RGB": ("red", "green", "blue"), "RGBA": ("red", "green", "blue", "alpha")}
_TYPES: Final = {
    **dict.fromkeys(("1", "L", "P", "LA", "RGB", "RGBA"), np.uint8),
    **dict.fromkeys(("I;16", "I;16B"), np.uint16),
    "I": np.int32,
    "F": np.float32,
}
# Pillow spreads grey values of few bits over 0 to 255, and keeps the upper byte of colours of 16 bits.
_SPREAD: Final = {"L;2": 255 // 3, "L;4": 255 // 15}
_UPPER_BYTE: Final = {"LA;16B": "LA", "RGB;16B": "RGB", "RGBA;16B": "RGBA"}


def arrays(path: Path) -> list[StoredArray]:
    """List the one image of a file.

    The values are those stored, whatever their bits; where there is a palette, its indices. Rows and columns lie as
    the Exif tag of orientation says.
    """
    from PIL import Image

    with Image.open(path) as image:
        if image.mode not in _TYPES:
            raise FileReadError(path, f"pixel mode {image.mode!r} is not read", hint="export it as grey or RGB")
        sixteen = _UPPER_BYTE.get(_stored_as(image))
        names = _CHANNELS.get(sixteen or image.mode, ())
        array = StoredArray(
            name="",
            dims=(*IMAGE, "channel") if names else IMAGE,
            shape=(image.height, image.width, *([len(names)] if names else [])),
            dtype=np.dtype(np.uint16 if sixteen else _TYPES[image.mode]),
            load=partial(_load, path),
            labels={"channel": names} if names else {},
            attrs={"photometric_interpretation": "values are indices of a palette"} if _has_colours(image) else {},
            metadata=_metadata(image),
        )
        turn = image.getexif().get(orientation.TAG, 1) if "exif" in image.info else 1
    return [orientation.upright(array, turn)]


def _has_colours(image: ImageFile) -> bool:
    """Whether there is a palette, and not one of greys in which each index is the grey that it stands for."""
    palette = np.reshape(image.getpalette() or [], (-1, 3))
    return image.mode == "P" and bool((palette != np.arange(len(palette))[:, None]).any())


def _metadata(image: ImageFile) -> dict[str, Any]:
    """Return texts, numbers and the palette; of `transparency` a value for each of its colours, or the one value."""
    entries: dict[str, Any] = {
        str(key): value for key, value in image.info.items() if isinstance(value, (str, int, float, tuple))
    }
    if isinstance(alpha := image.info.get("transparency"), bytes):
        entries["transparency"] = list(alpha)
    if image.mode == "P":
        entries["palette"] = np.reshape(image.getpalette() or [], (-1, 3)).tolist()
    return entries


def _stored_as(image: ImageFile) -> str:
    """Return how values lie in the file, in Pillow's words: ``"L;4"`` is grey of 4 bits."""
    layout = image.tile[0][3] if image.tile else ""
    return layout if isinstance(layout, str) else ""


def _load(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    with Image.open(path) as image:
        layout = _stored_as(image)
        if layout not in _UPPER_BYTE:
            values = np.asarray(image).astype(_TYPES[image.mode], copy=False)
            return values // np.uint8(_SPREAD[layout]) if layout in _SPREAD else values
        if layout == "LA;16B":
            # four bytes a pixel, as RGBA has: grey and alpha, the upper byte first
            return np.ascontiguousarray(_decoded(image, "RGBA")).view(">u2").astype(np.uint16)
        upper = np.asarray(image).astype(np.uint16)
    with Image.open(path) as image:
        # read in the other order of bytes, the upper byte is the lower one
        return np.asarray(upper << 8 | _decoded(image, layout.replace("16B", "16L")))


def _decoded(image: ImageFile, layout: str) -> npt.NDArray[Any]:
    """Return the pixels of an image whose values are taken to lie in another way."""
    codec, extents, offset, _ = image.tile[0]
    image.tile = [type(image.tile[0])(codec, extents, offset, layout)]
    return np.asarray(image)
