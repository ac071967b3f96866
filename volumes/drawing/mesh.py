"""Labelled datasets as VTK grids and back, with physical coordinates, pose and attributes kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.affine import Affine
from fusion.conventions import SPATIAL, check, linked, spacing, spatial_dims, with_links
from fusion.display import edges
from fusion.errors import ConventionError, DataError, FrameError, UnitError
from fusion.frames import affine_pose
from fusion.model import Axis, dataset, require_lengths

if TYPE_CHECKING:
    import pyvista as pv

    Grid: TypeAlias = pv.ImageData | pv.RectilinearGrid

Array = npt.NDArray[np.float64]
_XYZ: Final = SPATIAL[::-1]
_BANDS: Final = ("channel", "component")


def to_pyvista(ds: xr.Dataset, *, variables: Sequence[str] | None = None, cells: bool = False) -> Grid:
    """Return a dataset as a VTK grid, placed where its pose says.

    Parameters
    ----------
    ds : Dataset
        One to three spatial dims; a missing one is a plane at its scalar coordinate, or at 0.
    variables : sequence of str, optional
        What to take along. All that lie on the full grid if left out, except spectra; a variable with one more dim
        (channel, component) becomes an array of several components.
    cells : bool, optional
        By default the pixel centres are the points of the grid, as interpolation and volume rendering need it. True
        makes one cell of each pixel, half a pixel wider on every side, as a picture of single pixels needs it.

    Returns
    -------
    pyvista.ImageData or pyvista.RectilinearGrid
        In um of the frame of the pose (x, y, z, x fastest); rectilinear where an axis is not uniform.

    Raises
    ------
    FrameError
        If the pose shears or mirrors, or turns axes that are not uniform: VTK has no such grid.
    DataError
        If these are points, or a variable does not lie on the grid or is not numeric.

    Examples
    --------
    >>> ds = dataset({"image": (("y", "x"), np.arange(6.0).reshape(2, 3))},
    ...              {"y": Axis("um", 2.0), "x": Axis("um", 0.5)}, name="map", cell_methods="mean")
    >>> grid = to_pyvista(ds)
    >>> grid.dimensions, grid["image"][grid.find_closest_point((1.0, 2.0, 0.0))].item()
    ((3, 2, 1), 5.0)
    """
    ds = check(unlinked(ds))
    refuse_points(ds)
    grid = _grid(ds, cells)
    target = grid.cell_data if cells else grid.point_data
    chosen = _chosen(ds, variables)
    for name in chosen:
        target[name] = _flat(ds[name], ds)
    grid.user_dict = _described(unlinked(ds[chosen]))
    return grid


def refuse_points(ds: xr.Dataset) -> None:
    """Refuse points, which lie on no grid, and say how an image is made of them."""
    if "point" in ds.dims:
        raise DataError("points lie on no grid; make an image of them first, e.g. volumes.density(points, '10 nm')")


def unlinked(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose variables name only those ``ancillary_variables`` that were not left out of it."""
    received: object = ds
    if not isinstance(received, xr.Dataset):
        return ds  # `check` refuses it with a sentence of its own
    return ds.assign(
        {
            key: with_links(array, [name for name in linked(array) if name in ds.variables])
            for key, array in ds.data_vars.items()
        }
    )


def from_pyvista(grid: Grid, *, name: str = "volume", units: str | None = None) -> xr.Dataset:
    """Return a VTK grid as a labelled dataset.

    Parameters
    ----------
    grid : pyvista.ImageData or pyvista.RectilinearGrid
        Its point arrays become variables; its cell arrays if it has no point arrays.
    name : str, optional
        Name of the dataset where the grid does not come from `to_pyvista`.
    units : str, optional
        Unit of the grid's coordinates. Needed where the grid does not come from `to_pyvista`: VTK has no units.

    Returns
    -------
    Dataset
        What was given to `to_pyvista`, if the grid was not changed since; otherwise the arrays on the grid's own
        coordinates, with a rotation as the pose.

    Raises
    ------
    UnitError
        If nothing says what the coordinates are measured in.
    DataError
        If the grid has no arrays, or is not a regular one.
    """
    if not all(hasattr(grid, attribute) for attribute in ("dimensions", "x", "y", "z", "user_dict")):
        raise DataError(f"an ImageData or RectilinearGrid is needed; received {type(grid).__name__}")
    cells = not grid.point_data.keys()
    arrays = _arrays(grid, cells)
    if not arrays:
        raise DataError("the grid carries no arrays; add point_data or cell_data to it")
    description = dict(grid.user_dict)
    shell = _restored(description) if "coords" in description else None
    if shell is not None and _agree(_grid(shell, cells), grid):
        return check(_filled(shell, description["variables"], arrays))
    return _foreign(grid, cells, description, name, units or _unit(shell))


def _grid(ds: xr.Dataset, cells: bool) -> Grid:
    import pyvista as pv

    pose, _ = affine_pose(ds)
    if not np.array_equal(pose.matrix, np.eye(4)):
        require_lengths(ds, "placed by its pose")
    linear, shift = pose.matrix[:3, :3][::-1, ::-1], pose.matrix[:3, 3][::-1]
    lines = [_line(ds, dim, cells) for dim in _XYZ]
    steps = [_step(line) for line in lines]
    if None in steps:
        stretch = _diagonal(linear)
        return pv.RectilinearGrid(*(line * k + t for line, k, t in zip(lines, stretch, shift, strict=True)))
    rotation, stretch = rotation_of(linear)
    return pv.ImageData(
        dimensions=[line.size for line in lines],
        spacing=np.array(steps, dtype=float) * stretch,
        origin=linear @ [line[0] for line in lines] + shift,
        direction_matrix=rotation,
    )


def _line(ds: xr.Dataset, dim: str, cells: bool) -> Array:
    """Return the grid lines along an axis: the centres, or the edges half a pixel further out."""
    centres: Array = np.atleast_1d(np.asarray(ds[dim].values if dim in ds.coords else 0.0, dtype=float))
    return edges(centres) if cells and centres.size > 1 else centres


def _step(line: Array) -> float | None:
    return 1.0 if line.size < 2 else spacing(xr.DataArray(line, dims="line"))


def rotation_of(linear: Array) -> tuple[Array, Array]:
    """Split a matrix into a rotation and a stretch along the grid's own axes."""
    stretch = np.linalg.norm(linear, axis=0)
    rotation = linear / stretch
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-9) or np.linalg.det(rotation) < 0:
        raise FrameError("the pose shears or mirrors, which no VTK grid can; bring the data to its frame first with "
                         "fusion.resample(ds, grid)")  # fmt: skip
    return rotation, stretch


def _diagonal(linear: Array) -> Array:
    stretch: Array = np.diagonal(linear).copy()
    if not np.allclose(linear, np.diag(stretch), atol=1e-12) or (stretch <= 0).any():
        raise FrameError("the axes are not uniform and the pose turns them, which no VTK grid can; bring the data to "
                         "uniform axes first with fusion.resample(ds, grid)")  # fmt: skip
    return stretch


def _chosen(ds: xr.Dataset, variables: Sequence[str] | None) -> list[str]:
    dims = spatial_dims(ds)
    if not dims:
        raise DataError(f"the dataset has no spatial dim; its dims are {tuple(ds.dims)}")
    if variables is None:
        fitting = [
            str(key) for key, v in ds.data_vars.items() if spatial_dims(v) == dims and set(v.dims) <= {*dims, *_BANDS}
        ]
        if not fitting:
            raise DataError(f"no variable lies on the full grid {dims}; the dataset has {list(ds.data_vars)}")
        return fitting
    names = [variables] if isinstance(variables, str) else list(variables)
    missing = [name for name in names if name not in ds.data_vars or spatial_dims(ds[name]) != dims]
    if missing:
        raise DataError(f"{missing} do not lie on the grid {dims}; the dataset has {list(ds.data_vars)}")
    return names


def _flat(array: xr.DataArray, ds: xr.Dataset) -> npt.NDArray[Any]:
    """Bring the values to VTK's order: x fastest, components last."""
    rest = [dim for dim in array.dims if dim not in SPATIAL]
    if len(rest) > 1 or array.dtype.kind not in "iufb":
        raise DataError(f"{array.name}: dims {array.dims} of {array.dtype}; VTK takes numbers with one further dim")
    values = array.transpose(*spatial_dims(ds), *rest).values
    values = values.astype(np.float32) if values.dtype == np.float16 else values
    return values.reshape(-1, values.shape[-1]) if rest else values.reshape(-1)


def _described(ds: xr.Dataset) -> dict[str, Any]:
    """Return everything but the values, for the grid's user dictionary (JSON)."""
    named = {str(key): {"dims": list(ds[key].dims), "attrs": _plain(ds[key].attrs)} for key in ds.data_vars}
    coords = {
        str(key): {"dims": list(coord.dims), "values": coord.values.tolist(), "attrs": _plain(coord.attrs)}
        for key, coord in ds.coords.items()
    }
    return {"attrs": _plain(ds.attrs), "coords": coords, "variables": named}


def _plain(attrs: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): value.tolist() if hasattr(value, "tolist") else value for key, value in attrs.items()}


def _restored(description: dict[str, Any]) -> xr.Dataset:
    coords = {key: (entry["dims"], entry["values"], entry["attrs"]) for key, entry in description["coords"].items()}
    shell = xr.Dataset(coords=coords, attrs=description["attrs"])
    return shell.assign_coords(pose=shell["pose"].astype(np.int32))


def _agree(rebuilt: Grid, grid: Grid) -> bool:
    if type(rebuilt) is not type(grid) or rebuilt.dimensions != grid.dimensions:
        return False
    corners = [0, rebuilt.n_points // 2, rebuilt.n_points - 1]
    small = 1e-9 * max(rebuilt.length, np.finfo(float).tiny)
    same = all(np.allclose(rebuilt.GetPoint(i), grid.GetPoint(i), rtol=0, atol=small) for i in corners)
    return same and np.allclose(_direction(rebuilt), _direction(grid))


def _direction(grid: Grid) -> Array:
    return np.asarray(getattr(grid, "direction_matrix", np.eye(3)), dtype=float)


def _filled(shell: xr.Dataset, variables: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> xr.Dataset:
    ds = shell
    for key, flat in arrays.items():
        entry = variables.get(key)
        if entry is None:
            raise ConventionError([f"{key}: this array was added to the grid; remove it or give it a dataset"])
        values = flat.reshape([shell.sizes[dim] for dim in entry["dims"]])
        ds = ds.assign({key: (entry["dims"], values, _typed(entry, values.dtype))})
    return ds


def _typed(entry: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Return the attributes of a variable; JSON made flag_values a list."""
    attrs = dict(entry["attrs"])
    return {**attrs, "flag_values": np.asarray(attrs["flag_values"], dtype=dtype)} if "flag_values" in attrs else attrs


def _unit(shell: xr.Dataset | None) -> str:
    known = [] if shell is None else [shell[dim].attrs["units"] for dim in SPATIAL if dim in shell.coords]
    if not known:
        raise UnitError("the grid does not say what its coordinates are measured in; give units=, e.g. units='um'")
    return str(known[0])


def _foreign(grid: Grid, cells: bool, description: dict[str, Any], name: str, units: str) -> xr.Dataset:
    """Build a dataset from the geometry of the grid alone; an axis with one plane becomes a scalar coordinate."""
    rotation = _direction(grid)
    pose = np.eye(4)
    lines = _lines(grid)
    if not np.allclose(rotation, np.eye(3)):
        pose[:3, :3] = rotation[::-1, ::-1]
        pose[:3, 3] = grid.GetPoint(0)[::-1]
        lines = {dim: line - line[0] for dim, line in lines.items()}
    centres = {dim: _middles(line) if cells else line for dim, line in lines.items()}
    dims = [dim for dim in SPATIAL if centres[dim].size > 1]
    axes: dict[str, Any] = {dim: Axis(units, values=line if dim in dims else line[0]) for dim, line in centres.items()}
    shape, variables = [centres[dim].size for dim in dims], {}
    for key, values in _arrays(grid, cells).items():
        known = description.get("variables", {}).get(key, {"dims": [], "attrs": {}})
        bands = [dim for dim in known["dims"] if dim not in SPATIAL] or ["channel"] * (values.ndim - 1)
        axes.update({dim: range(values.shape[1]) for dim in bands})
        variables[key] = ((*dims, *bands), values.reshape(*shape, *values.shape[1:]), _typed(known, values.dtype))
    frame = description.get("coords", {}).get("pose", {}).get("attrs", {}).get("frame")
    return dataset(variables, axes, name=name, cell_methods="mean", pose=Affine(pose), frame=frame)


def _arrays(grid: Grid, cells: bool) -> dict[str, npt.NDArray[Any]]:
    held = grid.cell_data if cells else grid.point_data
    return {str(key): np.asarray(held[key]) for key in held.keys()}  # noqa: SIM118


def _lines(grid: Grid) -> dict[str, Array]:
    if not hasattr(grid, "direction_matrix"):
        return {dim: np.asarray(getattr(grid, dim), dtype=float) for dim in _XYZ}
    starts = grid.extent[::2]
    return {
        dim: origin + step * (start + np.arange(size, dtype=float))
        for dim, origin, step, start, size in zip(_XYZ, grid.origin, grid.spacing, starts, grid.dimensions, strict=True)
    }


def _middles(line: Array) -> Array:
    return line if line.size < 2 else (line[:-1] + line[1:]) / 2
