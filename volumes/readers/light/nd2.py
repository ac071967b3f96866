"""Nikon ND2 files: each position of the stage is an item, with sizes in um and where its pixels lie on the stage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from fusion.affine import Affine
from fusion.errors import FileReadError
from fusion.model import Axis
from fusion.reading.stage import STAGE
from fusion.reading.stored_array import StoredArray, missing
from volumes.readers import planes

_DIMS: Final = {"T": "time", "Z": "z", "C": "channel", "Y": "y", "X": "x", "S": "channel"}
_LOOPS: Final = {"TimeLoop": "T", "NETimeLoop": "T", "XYPosLoop": "P", "ZStackLoop": "Z"}
_TECHNIQUES: Final = {
    "laserScanConfocal": "confocal", "spinningDiskConfocal": "confocal", "sweptFieldConfocalPinhole": "confocal",
    "sweptFieldConfocalSlit": "confocal", "dsdConfocal": "confocal", "multiphoton": "multiphoton", "TIRF": "TIRF",
    "SIM": "SIM",
}  # fmt: skip


def arrays(path: Path) -> list[StoredArray]:
    """List the positions of an ND2 file of version 2 or later.

    Where the file says how pixels lie on the stage, the pose leads to the frame ``stage``. NIS-Elements calls every
    image of a camera by the same flags, so that only the other techniques are named.
    """
    with _opened(path) as file:
        sizes = dict(file.sizes)
        unknown = [key for key in sizes if key not in {*_DIMS, "P"}]
        if unknown or {"C", "S"} <= set(sizes):
            reason = f"an image with the axes {sizes} is not read; one each of T, P, Z, C, Y, X is"
            raise FileReadError(path, reason, hint="export one of them from NIS-Elements")
        loops = {loop.type: loop for loop in file.experiment}
        _require_every_frame(path, file)
        return [_array(path, file, sizes, loops, position) for position in range(sizes.get("P", 1))]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import nd2
    except ImportError as error:
        raise missing(path, "nd2", "lm") from error
    with nd2.ND2File(path) as file:
        yield file


def _require_every_frame(path: Path, file: Any) -> None:
    """Refuse an acquisition that was stopped: nd2 would fill it up with zeros."""
    wanted, recorded = prod(loop.count for loop in file.experiment), file.attributes.sequenceCount
    if recorded < wanted:
        reason = f"{wanted - recorded} of its {wanted} frames are missing; the acquisition was stopped"
        raise FileReadError(path, reason, hint="export the frames that are complete from NIS-Elements")


def _array(path: Path, file: Any, sizes: Mapping[str, int], loops: Mapping[str, Any], position: int) -> StoredArray:
    kept = {key: size for key, size in sizes.items() if key != "P"}
    channels = file.metadata.channels or []
    names = planes.distinct([channel.channel.name for channel in channels])
    axes = _axes(channels, loops)
    pose = _pose(file, loops, position, axes)
    return StoredArray(
        name=_name(loops, position) if "P" in sizes else "",
        dims=tuple(_DIMS[key] for key in kept),
        shape=tuple(kept.values()),
        dtype=file.dtype,
        load=partial(_load, path, position, tuple(kept), tuple(kept.values()), file.dtype),
        axes={dim: axis for dim, axis in axes.items() if dim in {_DIMS[key] for key in kept}},
        labels={"channel": ("red", "green", "blue")} if "S" in sizes else {"channel": names} if names else {},
        dataset_attrs=_about(channels),
        pose=pose,
        frame=STAGE if pose else "",
        metadata={"nd2": {"text": dict(file.text_info), "attributes": file.attributes._asdict()}},
    )


def _name(loops: Mapping[str, Any], position: int) -> str:
    named = loops["XYPosLoop"].parameters.points[position].name if "XYPosLoop" in loops else None
    return f"position {position}" + (f" {named}" if named else "")


def _axes(channels: Sequence[Any], loops: Mapping[str, Any]) -> dict[str, Axis]:
    axes: dict[str, Axis] = {}
    volume = channels[0].volume if channels else None
    for i, dim in enumerate("xy"):
        if volume and volume.axesCalibrated[i] and volume.axesInterpretation[i] == "distance":
            axes[dim] = Axis("um", step=volume.axesCalibration[i], direction="down" if dim == "y" else "")
    if "ZStackLoop" in loops:
        stack, size = loops["ZStackLoop"].parameters, loops["ZStackLoop"].count
        heights = stack.stepUm * (np.arange(size) - stack.homeIndex)
        if stack.stepUm:
            axes["z"] = Axis("um", values=heights if stack.bottomToTop else heights[::-1])
    if "TimeLoop" in loops and loops["TimeLoop"].parameters.periodMs > 0:
        axes["time"] = Axis("ms", step=loops["TimeLoop"].parameters.periodMs)
    return axes


def _pose(file: Any, loops: Mapping[str, Any], position: int, axes: Mapping[str, Axis]) -> Affine | None:
    """Return where the pixels lie on the stage: matrix · (x, y, 1) + position, where x and y count from the corner.

    The matrix acts on pixels (nd2, ``Volume.pixelToStageTransformationMatrix``); it is halved pixel sizes away from
    the middle of the image, so that the centre of pixel 0 is at 0.5.
    """
    channels = file.metadata.channels or []
    matrix = channels[0].volume.pixelToStageTransformationMatrix if channels else None
    stage = _stage(file, loops, position)
    if matrix is None or stage is None or not {"y", "x"} <= set(axes):
        return None
    x, y, z = stage
    (xx, xy, x0), (yx, yy, y0) = matrix[:3], matrix[3:]
    height, width = (axes[dim].step or 1.0 for dim in ("y", "x"))
    rows = [
        [1.0, 0.0, 0.0, z],
        [0.0, yy / height, yx / width, y + y0 + 0.5 * (yx + yy)],
        [0.0, xy / height, xx / width, x + x0 + 0.5 * (xx + xy)],
        [0.0, 0.0, 0.0, 1.0],
    ]
    return Affine(rows)


def _stage(file: Any, loops: Mapping[str, Any], position: int) -> tuple[float, float, float] | None:
    """Return x, y, z of the stage in um, z where a stack has its home; None where the file keeps no times of frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            first = file.frame_metadata(_number(file, {"P": position})).channels[0].position.stagePositionUm
        except IndexError:
            return None
    stack = loops["ZStackLoop"].parameters if "ZStackLoop" in loops else None
    return first.x, first.y, first.z + (stack.homeIndex * stack.stepUm if stack else 0.0)


def _number(file: Any, at: Mapping[str, int]) -> int:
    """Return the number of a frame from its position in the loops of the experiment."""
    loops = [(_LOOPS.get(loop.type, ""), loop.count) for loop in file.experiment]
    return int(np.ravel_multi_index([at.get(key, 0) for key, _ in loops], [n for _, n in loops])) if loops else 0


def _about(channels: Sequence[Any]) -> dict[str, str]:
    """Return the technique that the flags of all channels name."""
    named = [{_TECHNIQUES.get(flag) for flag in channel.microscope.modalityFlags} - {None} for channel in channels]
    shared = named[0] if named and all(names == named[0] for names in named) else set()
    return {"technique": str(*shared)} if len(shared) == 1 else {}


def _load(path: Path, position: int, keys: Sequence[str], shape: Sequence[int], dtype: Any) -> Any:
    inner = [key for key in keys if key in "CYXS"]
    outer = [key for key in keys if key not in inner]
    sizes = dict(zip(keys, shape, strict=True))
    read = partial(_frames, path, position, outer, tuple(sizes[key] for key in inner))
    return planes.stacked(read, tuple(sizes[key] for key in outer), tuple(sizes[key] for key in inner), dtype)


def _frames(
    path: Path, position: int, outer: Sequence[str], shape: Sequence[int], indices: Sequence[planes.Index]
) -> list[Any]:
    with _opened(path) as file:
        frames = [{"P": position, **dict(zip(outer, index, strict=True))} for index in indices]
        return [np.array(file.read_frame(_number(file, frame))).reshape(shape) for frame in frames]
