"""Profiles along a line, of one dataset or of all modalities that it crosses, and oblique slices of a volume."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance, units
from fusion.affine import Affine, kind_attrs
from fusion.conventions import SPATIAL, cell_methods, check, spatial_dims, stderr_name, title
from fusion.display import y_upwards
from fusion.errors import DataError, FrameError
from fusion.frames import POSE, get_pose, locate, with_pose
from fusion.resampling.resample import resample
from fusion.warp import Transform
from volumes.drawing.mesh import refuse_points, unlinked
from volumes.drawing.overlay import as_intensity
from volumes.sections.grids import Array, finest, line, plane, position


def profile(
    ds: xr.Dataset | xr.DataTree,
    start: npt.ArrayLike,
    stop: npt.ArrayLike,
    *,
    step: float | None = None,
    depth: float | None = None,
) -> xr.Dataset | xr.DataTree:
    """Return values and standard errors along a straight line, of a dataset or of every modality that it crosses.

    Parameters
    ----------
    ds : Dataset or DataTree
        A dataset is read in its own coordinates. Of a tree, start and stop are positions in the one frame that its
        datasets lead to.
    start, stop : array_like (3,) or (2,)
        In um, z, y, x; within an image y, x are enough.
    step : float, optional
        In um; left out, the finest step of a dataset on the line.
    depth : float, optional
        Thickness in um of a dataset without z: how far from its plane the line may run. Left out, a hundredth of a
        step for a dataset by itself, and the step for those of a tree.

    Returns
    -------
    Dataset or DataTree
        Of a dataset, each spatial variable along ``x``, the distance from start in um, by linear interpolation
        (labels from the nearest pixel; counts as the intensity of a pixel), NaN outside; its pose takes the line to
        where the dataset lies. Standard errors are those of independent pixels. ``position_stderr`` is the root mean
        square distance in um by which the pose may be off, where its covariance is known. Of a tree, one such
        dataset for each that the line crosses, on common steps; the attribute ``left_out`` names the others.

    Raises
    ------
    DataError
        If the line misses everything, or its ends coincide.
    FrameError
        If the datasets of a tree lead to several frames.
    UnitError
        If a pixel size is not known.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> values = np.arange(12.0).reshape(3, 4)
    >>> ds = dataset({"image": (("y", "x"), values)}, {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}, name="map",
    ...              cell_methods="mean", frame="stage")
    >>> profile(ds, (0.0, 0.0), (2.0, 2.0), step=np.sqrt(0.5))["image"].values.round(6).tolist()
    [0.0, 2.5, 5.0, 7.5, 10.0]
    """
    if isinstance(ds, xr.DataTree):
        return _of_tree(ds, np.asarray(start, dtype=float), np.asarray(stop, dtype=float), step, depth)
    ds = _readable(ds)
    ends = position(start, ds, "start"), position(stop, ds, "stop")
    return _along(ds, *ends, finest(ds) if step is None else step, depth)


def slice(ds: xr.Dataset, through: npt.ArrayLike, normal: npt.ArrayLike, *, step: float | None = None) -> xr.Dataset:
    """Return the plane of a volume through a position, at any angle.

    Parameters
    ----------
    ds : Dataset
        A volume.
    through : array_like (3,)
        A position in the plane in um, z, y, x, in the volume's own coordinates; it is the origin of the slice.
    normal : array_like (3,)
        What the plane is perpendicular to, z, y, x.
    step : float, optional
        Size of a pixel in um; left out, the finest step of the volume.

    Returns
    -------
    Dataset
        Over y and x of the plane, as far as the volume reaches: x runs as the volume's x (y for a plane of constant
        x), y as its y, or z. Linear interpolation, labels from the nearest voxel, NaN outside; standard errors as
        `profile`. Its pose puts it into the volume's frame, so that other modalities can be drawn over it.

    Raises
    ------
    DataError
        If the dataset is no volume, the normal is zero, or the plane misses the volume.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> ds = dataset({"image": (("z", "y", "x"), np.arange(24.0).reshape(2, 3, 4))},
    ...              {dim: Axis("um", 1.0) for dim in "zyx"}, name="volume", cell_methods="mean", frame="stage")
    >>> slice(ds, (0.0, 1.0, 1.0), (0.0, 1.0, 0.0))["image"].values
    array([[ 4.,  5.,  6.,  7.],
           [16., 17., 18., 19.]])
    """
    ds = _readable(ds)
    if spatial_dims(ds) != SPATIAL:
        raise DataError(f"{title(ds)}: a slice is taken from a volume with z, y, x; it has {spatial_dims(ds)}")
    centre, across = position(through, ds, "through"), position(normal, ds, "normal")
    if not np.linalg.norm(across) > 0:
        raise DataError("the normal of a plane is a direction z, y, x, not all zero")
    grid, way = plane(ds, centre, across, finest(ds) if step is None else step)
    result = _read(ds, grid, way, None)
    result["y"].attrs["direction"] = "up" if y_upwards(ds) else "down"
    parameters = {"through": centre, "normal": across, "step": step}
    return provenance.record(result, "volumes.slice", parameters, source=ds)


def _readable(ds: xr.Dataset) -> xr.Dataset:
    ds = check(unlinked(ds))
    refuse_points(ds)
    return ds.assign({name: as_intensity(array) for name, array in ds.data_vars.items()})


def _along(ds: xr.Dataset, start: Array, stop: Array, step: float, depth: float | None) -> xr.Dataset:
    grid, way = line(start, stop, step)
    flat = "z" not in ds.dims or ds.sizes["z"] == 1
    result = _read(ds, grid, way, (step / 100 if depth is None else depth) if flat else None)
    result["x"].attrs["long_name"] = "distance"
    result = _with_position(result, get_pose(ds)[0], way(np.stack([0 * grid["x"], 0 * grid["x"], grid["x"]], axis=-1)))
    parameters = {"start": start, "stop": stop, "step": step, "depth": depth}
    return provenance.record(result, "volumes.profile", parameters, source=ds)


def _read(ds: xr.Dataset, grid: xr.Dataset, way: Affine, depth: float | None) -> xr.Dataset:
    """Return a dataset on a line or plane, whose pose leads to the dataset's frame."""
    moved = resample(ds, grid, transform=way.inverse(), method="linear", depth=depth)
    pose, frame = get_pose(ds)
    placed = with_pose(moved, pose @ way, frame or title(ds))
    return placed.assign_attrs(title=title(ds))


def _with_position(result: xr.Dataset, pose: Transform, at: Array) -> xr.Dataset:
    """Add how far off the pose may put each position, if that is known and not zero."""
    if not pose.is_uncertain:
        return result
    off = np.sqrt(np.trace(pose.covariance_at(at), axis1=-2, axis2=-1))
    meaning = "root mean square error of the position"
    attrs = {"units": units.LENGTH, "long_name": meaning, **cell_methods(("x",), "point"), "grid_mapping": POSE,
             **kind_attrs(pose.lower_bound)}  # fmt: skip
    return result.assign({stderr_name("position"): ("x", off, attrs)})


def _on_frame(tree: xr.DataTree) -> tuple[dict[str, xr.Dataset], list[str]]:
    """Return the datasets of a tree with poses to the one frame that they lead to, and what has no grid."""
    found, left_out = {}, []
    for node in (node for node in tree.subtree if node.has_data and node.name):
        name = str(node.name)
        ds = node.to_dataset()
        if spatial_dims(ds):
            found[name] = _readable(with_pose(ds, *locate(tree, name)))
        else:
            left_out.append(f"{name} (no image or volume)")
    frames = {name: str(get_pose(ds)[1]) for name, ds in found.items()}
    if len(set(frames.values())) > 1:
        names = ", ".join(f"{name} in {frame}" for name, frame in frames.items())
        raise FrameError(
            f"start and stop need one frame, and the datasets lead to several: {names}; drop or register some"
        )
    if not found:
        raise DataError(f"the tree holds no image and no volume: {', '.join(left_out) or 'it is empty'}")
    return found, left_out


def _of_tree(tree: xr.DataTree, start: Array, stop: Array, step: float | None, depth: float | None) -> xr.DataTree:
    found, left_out = _on_frame(tree)
    ends = np.stack([start, stop])
    if ends.shape != (2, 3) or not np.isfinite(ends).all():
        raise DataError(f"start and stop are z, y, x in um in the frame of the tree; received {ends.tolist()}")
    step = min(map(finest, found.values())) if step is None else step
    crossed = {}
    for name, ds in found.items():
        back = get_pose(ds)[0].inverse()
        try:
            crossed[name] = _along(ds, back(start), back(stop), step, step if depth is None else depth)
        except DataError:
            left_out.append(f"{name} (not on the line)")
    if not crossed:
        raise DataError(f"the line misses every dataset of the tree: {', '.join(left_out)}")
    profiles = xr.DataTree.from_dict(crossed)
    profiles.attrs["left_out"] = "; ".join(left_out)
    return profiles
