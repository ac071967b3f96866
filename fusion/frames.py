"""Where a dataset sits: its pose, the frame that the pose leads to, and the way between two datasets.

Points are (..., 3) arrays in the order z, y, x and in micrometres; matrices act on column vectors (z, y, x, 1).
A transform maps the moving dataset onto the fixed one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.affine import Affine, is_lower_bound, kind_attrs
from fusion.errors import FrameError
from fusion.warp import Transform, Warp, as_parameters, as_text, from_text

POSE: Final = "pose"
_OLD_STAGE: Final = re.compile(r"stage( of .+ [0-9a-f]{8})?")


class Frame(str):
    """The name of a frame, and whether the frame is fixed to the stage of a microscope.

    Parameters
    ----------
    name : str
    on_stage : bool
        Whether its axes are those of a stage (`fusion.reading.stage`): x to the right, y up, z towards the source.

    Examples
    --------
    >>> Frame("stage", on_stage=True).of("map.h5").on_stage, Frame("stage").on_stage
    (True, False)
    """

    on_stage: bool

    def __new__(cls, name: str, *, on_stage: bool = False) -> Frame:
        """Return the name, which is a text like any other."""
        frame = super().__new__(cls, name)
        frame.on_stage = on_stage
        return frame

    def of(self, file: str) -> Frame:
        """Return the frame of this name in one file."""
        return Frame(f"{self} of {file}", on_stage=self.on_stage)


def as_parameter(frame: str) -> str | dict[str, Any]:
    """Return a frame as the parameter of a step on record: its name, and beside it that it is one of a stage."""
    return {"name": str(frame), "on_stage": True} if isinstance(frame, Frame) and frame.on_stage else str(frame)


OWN: Final = Frame("")
"""The frame of a dataset without a pose: its own coordinates, which no other dataset shares."""


def set_pose(ds: xr.Dataset, pose: Transform, frame: str) -> xr.Dataset:
    """Return the dataset placed in `frame` by `pose`.

    Parameters
    ----------
    ds : Dataset
        Any labelled dataset; its values are shared, not copied.
    pose : Affine or Warp
        Maps the dataset's own coordinates into `frame`.
    frame : str or Frame
        Name of the frame: a stage, a specimen, or another node of the same tree. A `Frame` also says whether it is
        that of a stage.

    Returns
    -------
    Dataset

    Examples
    --------
    >>> placed = set_pose(xr.Dataset(), Affine.translation(x=3.0), "stage")
    >>> placed["pose"].attrs["frame"]
    'stage'
    """
    placed = with_pose(ds, pose, frame)
    return provenance.record(placed, "fusion.set_pose", {**as_parameters(pose), "frame": as_parameter(frame)})


def with_pose(ds: xr.Dataset, pose: Transform, frame: str) -> xr.Dataset:
    """Return what `set_pose` does, as a part of another step, without a record of its own."""
    if isinstance(frame, Frame) and not frame and isinstance(pose, Affine) and np.array_equal(pose.matrix, np.eye(4)):
        placed = ds.drop_vars(POSE, errors="ignore").copy()
        for variable in placed.data_vars.values():
            variable.attrs.pop("grid_mapping", None)
        return placed
    if not frame or not isinstance(frame, str):
        raise FrameError(f"a frame needs a name; received {frame!r}")
    on_stage = int(isinstance(frame, Frame) and frame.on_stage)
    attrs = {**_described(pose), "frame": str(frame), "on_stage": on_stage}
    placed = ds.assign_coords({POSE: xr.DataArray(np.int32(0), attrs=attrs)})
    for variable in placed.data_vars.values():
        variable.attrs["grid_mapping"] = POSE
    return placed


def _described(pose: Transform) -> dict[str, object]:
    """Return a pose as attributes."""
    if isinstance(pose, Warp):
        return {"long_name": "warp maps (z, y, x) in um to frame: JSON, see CONVENTIONS.md", "warp": as_text(pose)}
    attrs: dict[str, object] = {
        "long_name": "matrix maps (z, y, x, 1) in um to frame; covariance: of its upper 12 entries by rows, 0 if exact",
        "matrix": pose.matrix.ravel().copy(),
    }
    if pose.covariance is not None:
        attrs["covariance"] = pose.covariance.ravel().copy() if pose.covariance.any() else 0.0
    if np.isfinite(pose.dof):
        attrs["dof"] = pose.dof
    return {**attrs, **kind_attrs(pose.lower_bound)}


def get_pose(ds: xr.Dataset | xr.DataArray) -> tuple[Transform, Frame]:
    """Return the pose of a dataset and the frame it leads to.

    Parameters
    ----------
    ds : Dataset or DataArray

    Returns
    -------
    Affine or Warp, Frame
        The identity and the frame without a name where the dataset has no pose: it lies in a frame of its own.

    Raises
    ------
    FrameError
        If the pose is damaged.
    """
    if POSE not in ds.coords:
        return Affine.identity(), OWN
    attrs = ds.coords[POSE].attrs
    try:
        return _transform(attrs), Frame(attrs["frame"], on_stage=_on_stage(attrs))
    except (KeyError, ValueError, TypeError) as error:
        raise FrameError(
            f"damaged ({error}); a pose has frame, and matrix (16), perhaps with covariance (144), or warp (JSON)"
        ) from error


def affine_pose(ds: xr.Dataset | xr.DataArray) -> tuple[Affine, Frame]:
    """Return the pose of a dataset where only an affine one will do, as `get_pose`.

    Raises
    ------
    FrameError
        If the pose is a warp, or damaged.
    """
    pose, frame = get_pose(ds)
    return affine_only(pose), frame


def affine_only(transform: Transform) -> Affine:
    """Return a transform that is affine; refuse any other.

    Raises
    ------
    FrameError
        If it is a warp.
    """
    if not isinstance(transform, Affine | Warp):
        raise FrameError(f"a transform is a fusion.Affine; received {type(transform).__name__}")
    if isinstance(transform, Warp):
        raise FrameError("a warp takes straight lines to curves, which is not possible here; fusion.resample first")
    return transform


def same_transform(first: Transform, second: Transform) -> bool:
    """Whether two transforms lead to the same places, whatever is known of their errors."""
    if isinstance(first, Affine) and isinstance(second, Affine):
        return np.allclose(first.matrix, second.matrix)
    return isinstance(first, Warp) and isinstance(second, Warp) and as_text(first) == as_text(second)


def _transform(attrs: Mapping[Any, Any]) -> Transform:
    if "warp" in attrs:
        return from_text(attrs["warp"])
    matrix = np.asarray(attrs["matrix"], dtype=float).reshape(4, 4)
    dof = float(attrs.get("dof", np.inf))
    return Affine(matrix, covariance=_covariance(attrs, matrix), dof=dof, lower_bound=is_lower_bound(attrs))


def _covariance(attrs: Mapping[Any, Any], matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return the covariance of a pose: 144 numbers, or 0 where it is exact; None where it is not known."""
    if "covariance" in attrs:
        values = np.asarray(attrs["covariance"], dtype=float)
        return np.zeros((12, 12)) if values.size == 1 and not values.any() else values.reshape(12, 12)
    # a frame that is the dataset's own is exact by definition; files of version 0.1 did not say so
    return np.zeros((12, 12)) if np.array_equal(matrix, np.eye(4)) else None


def _on_stage(attrs: Mapping[Any, Any]) -> bool:
    """Whether a pose leads to the frame of a stage; files of version 0.1 said so by its name alone."""
    if "on_stage" in attrs:
        return bool(attrs["on_stage"])
    return _OLD_STAGE.fullmatch(str(attrs["frame"])) is not None


def between(moving: xr.Dataset | xr.DataTree, fixed: xr.Dataset | xr.DataTree) -> Transform:
    """Return the transform from the coordinates of `moving` to those of `fixed`, as their poses say.

    Parameters
    ----------
    moving, fixed : Dataset or DataTree
        Placed in the same frame; the errors of the two poses are taken as independent. Of two nodes of one tree, the
        poses are followed to the first frame that both ways meet in, so that links they share leave no error.

    Returns
    -------
    Affine or Warp

    Raises
    ------
    FrameError
        If the two poses lead to different frames, or a dataset has no pose.

    Examples
    --------
    >>> a = set_pose(xr.Dataset(), Affine.translation(x=3.0), "stage")
    >>> b = set_pose(xr.Dataset(), Affine.translation(x=1.0), "stage")
    >>> between(a, b)([0.0, 0.0, 0.0])
    array([0., 0., 2.])
    """
    if isinstance(moving, xr.DataTree) and isinstance(fixed, xr.DataTree):
        return _between_nodes(moving, fixed)
    moving, fixed = (ds.to_dataset() if isinstance(ds, xr.DataTree) else ds for ds in (moving, fixed))
    (from_moving, frame), (from_fixed, other) = get_pose(moving), get_pose(fixed)
    if OWN in (frame, other):
        raise FrameError(
            "a dataset has no pose and lies in a frame of its own; pass transform=, or place it with fusion.set_pose"
        )
    if frame != other:
        raise FrameError(
            f"the datasets share no frame ({frame!r} and {other!r}); register one on the other, or pass transform="
        )
    return from_fixed.inverse() @ from_moving


def transform_between(moving: xr.Dataset, fixed: xr.Dataset, transform: Transform | None = None) -> Transform:
    """Return the transform if there is one, else what the poses say.

    Raises
    ------
    FrameError
        As `between`, or if it is no transform.
    """
    if transform is None:
        return between(moving, fixed)
    if not isinstance(transform, Affine | Warp):
        raise FrameError(f"a transform is a fusion.Affine or a fusion.Warp; received {type(transform).__name__}")
    return transform


def affine_between(moving: xr.Dataset, fixed: xr.Dataset, transform: Transform | None = None) -> Affine:
    """Return the transform if there is one, else what the poses say, where only an affine one will do.

    Raises
    ------
    FrameError
        As `between`, or if it is a warp.
    """
    return affine_only(transform_between(moving, fixed, transform))


def locate(tree: xr.DataTree, node: str) -> tuple[Transform, Frame]:
    """Follow the poses of a tree from `node` as far as they lead (lamella -> overview -> stage).

    Parameters
    ----------
    tree : DataTree
    node : str
        Name of a node, wherever it is in the tree.

    Returns
    -------
    Affine or Warp, Frame
        The transform from the coordinates of `node` and the frame that is no node of the tree; the last node where
        that one has no pose.

    Raises
    ------
    FrameError
        If the node is missing, two nodes on the way share a name, or the poses run in a circle.
    """
    frames, transforms = _way(tree, node)
    return transforms[-1], frames[-1]


def _between_nodes(moving: xr.DataTree, fixed: xr.DataTree) -> Transform:
    if moving.root is not fixed.root or not (moving.name and fixed.name):
        return between(moving.to_dataset(), fixed.to_dataset())
    (ours, to_ours), (theirs, to_theirs) = _way(moving.root, moving.name), _way(moving.root, fixed.name)
    for frame, transform in zip(ours, to_ours, strict=True):
        if frame in theirs:
            return to_theirs[theirs.index(frame)].inverse() @ transform
    raise FrameError(f"{moving.name} and {fixed.name} share no frame ({ours[-1]!r} and {theirs[-1]!r}); register them")


def _way(tree: xr.DataTree, node: str) -> tuple[list[Frame], list[Transform]]:
    """Return the frames that the poses of a tree lead to from `node`, itself first, and the transform to each."""
    names = {child.name for child in tree.subtree if child.name}
    if node not in names:
        raise FrameError(f"the tree has no node {node!r}; it has {sorted(map(str, names))}")
    frames = [Frame(node)]
    transforms: list[Transform] = [Affine.identity()]
    while frames[-1] in names:
        step, frame = get_pose(_only(tree, frames[-1]))
        if frame == OWN:
            break
        pose = step @ transforms[-1]
        if frame == frames[-1]:
            # its own coordinates are the frame, up to the pose it has there
            frames[-1], transforms[-1] = frame, pose
            break
        if frame in frames:
            raise FrameError(f"the poses run in a circle: {' -> '.join([*frames, frame])}")
        frames.append(frame)
        transforms.append(pose)
    return frames, transforms


def _only(tree: xr.DataTree, name: str) -> xr.Dataset:
    nodes = [child for child in tree.subtree if child.name == name]
    if len(nodes) > 1:
        raise FrameError(f"{name!r} may be any of {[child.path for child in nodes]}; give the nodes different names")
    return nodes[0].to_dataset()


def pose_faults(ds: xr.Dataset) -> list[str]:
    """Return what is wrong with the pose of a dataset; empty if nothing is."""
    try:
        get_pose(ds)
    except FrameError as error:
        return [str(error)]
    return []
