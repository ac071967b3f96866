"""Zeiss CZI files: each scene is an item; sizes in m, channel names and the position of a scene from the metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import numpy as np

from fusion.affine import Affine
from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.stage import STAGE
from fusion.reading.stored_array import IMAGE, StoredArray, missing
from volumes.readers import planes

_OUTER: Final = {"T": "time", "Z": "z", "C": "channel"}
_TYPES: Final = {"Gray8": "u1", "Gray16": "u2", "Gray32Float": "f4", "Bgr24": "u1", "Bgr48": "u2"}
_IMAGE: Final = "./Metadata/Information/Image"


class Scene(NamedTuple):
    """A scene of a file: its number (None where the file has no scenes) and where it lies, in pixels."""

    number: int | None
    x: int
    y: int
    width: int
    height: int


def arrays(path: Path) -> list[StoredArray]:
    """List the scenes of a CZI file; tiles are put together, images in colour are red, green, blue.

    A scene whose centre on the stage is known leads to the frame ``stage``, to whose axes its own are parallel.
    """
    with _opened(path) as document:
        root = ElementTree.fromstring(document.raw_metadata)
        sizes = {key: stop - start for key, (start, stop) in document.total_bounding_box.items()}
        kinds = set(document.pixel_types.values())
        more = [key for key, size in sizes.items() if key not in "TZCXYS" and size > 1]
        if more or len(kinds) > 1 or not kinds <= set(_TYPES):
            reason = f"it has the axes {', '.join(more)}" if more else f"its pixels are {', '.join(sorted(kinds))}"
            raise FileReadError(path, f"{reason}, which is not read", hint="export one of them from ZEN")
        scenes = [Scene(number, *area) for number, area in document.scenes_bounding_rectangle_no_pyramid.items()]
        scenes = scenes or [Scene(None, *document.total_bounding_rectangle_no_pyramid)]
        outer = {key: sizes[key] for key in _OUTER if sizes.get(key, 1) > 1}
        _require_every_plane(path, document, outer, scenes)
        kind = kinds.pop()
    return [_array(path, scene, len(scenes) > 1, outer, kind, root) for scene in scenes]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        from pylibCZIrw import czi
    except ImportError as error:
        raise missing(path, "pylibCZIrw", "lm") from error
    with czi.open_czi(str(path)) as document:
        yield document


def _require_every_plane(path: Path, document: Any, outer: Mapping[str, int], scenes: Sequence[Scene]) -> None:
    """Refuse a stack that was stopped before its end: libCZI would fill it up with zeros."""
    held = set()

    def note(_: int, block: Any) -> bool:
        at = block.coordinate.to_dict()
        held.add((at.get("S"), *(at.get(key, 0) for key in outer)))
        return True

    document.enumerate_subblocks(note)
    wanted = len(scenes) * prod(outer.values())
    if len(held) != wanted:
        reason = f"it holds {len(held)} of its {wanted} planes; the acquisition was stopped"
        raise FileReadError(path, reason, hint="export the planes that are complete from ZEN")


def _array(
    path: Path, scene: Scene, several: bool, outer: Mapping[str, int], kind: str, root: ElementTree.Element
) -> StoredArray:
    color = kind.startswith("Bgr")
    dims = (*(_OUTER[key] for key in outer), *IMAGE, *(["channel"] if color else []))
    if len(set(dims)) < len(dims):
        raise FileReadError(path, "several channels are each in colour", hint="export one of them from ZEN")
    plane = (scene.height, scene.width, *([3] if color else []))
    channels = root.findall(f"{_IMAGE}/Dimensions/Channels/Channel")
    names = planes.distinct([channel.get("Name", "") for channel in channels])
    axes = _axes(root)
    described = root.find(f"{_IMAGE}/Dimensions/S/Scenes/Scene[@Index='{scene.number or 0}']")
    pose = _pose(described, scene, axes)
    return StoredArray(
        name=_name(described, scene) if several else "",
        dims=dims,
        shape=(*outer.values(), *plane),
        dtype=np.dtype(_TYPES[kind]),
        load=partial(
            planes.stacked, partial(_planes, path, scene, tuple(outer)), tuple(outer.values()), plane, _TYPES[kind]
        ),
        axes={dim: axis for dim, axis in axes.items() if dim in dims},
        labels={"channel": ("red", "green", "blue")} if color else {"channel": names} if names else {},
        dataset_attrs=planes.technique([channel.findtext("AcquisitionMode") for channel in channels]),
        pose=pose,
        frame=STAGE if pose else "",
        metadata={"czi": ElementTree.tostring(root, encoding="unicode")},
    )


def _name(described: ElementTree.Element | None, scene: Scene) -> str:
    return (described.get("Name") if described is not None else None) or f"scene {scene.number}"


def _planes(path: Path, scene: Scene, outer: Sequence[str], indices: Sequence[planes.Index]) -> list[Any]:
    area = (scene.x, scene.y, scene.width, scene.height)
    with _opened(path) as document:
        read = [
            document.read(roi=area, plane=dict(zip(outer, index, strict=True)), scene=scene.number) for index in indices
        ]
    return [values[..., ::-1] if values.shape[2] == 3 else values[..., 0] for values in read]


def _axes(root: ElementTree.Element) -> dict[str, Axis]:
    """Return the distances of pixels and planes in m, and that of frames in s."""
    axes = {}
    for key in "ZYX":
        step = root.findtext(f"./Metadata/Scaling/Items/Distance[@Id='{key}']/Value")
        if step and float(step) > 0:
            axes[key.lower()] = Axis("m", step=float(step), direction="down" if key == "Y" else "")
    interval = root.findtext(f"{_IMAGE}/Dimensions/T/Positions/Interval/Increment")
    if interval and float(interval) > 0:
        axes["time"] = Axis("s", step=float(interval))
    return axes


def _pose(described: ElementTree.Element | None, scene: Scene, axes: Mapping[str, Axis]) -> Affine | None:
    """Return the shift that takes the middle of a scene to its ``CenterPosition`` on the stage, x and y in um."""
    centre = described.findtext("CenterPosition") if described is not None else None
    if not centre or not {"y", "x"} <= set(axes):
        return None
    x, y = (float(number) for number in centre.split(","))
    middle = {dim: axes[dim].centres(size, "um").mean() for dim, size in (("y", scene.height), ("x", scene.width))}
    return Affine.translation(y=y - middle["y"], x=x - middle["x"])
