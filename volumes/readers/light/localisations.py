"""Localisation microscopy: the tables of ThunderSTORM (CSV), SMAP (MATLAB 7.3) and Picasso (HDF5 with YAML).

Each column is a `StoredArray` along ``point``, with the positions z, y, x of all points. The standard errors of the
positions are the columns ``z_stderr``, ``y_stderr``, ``x_stderr``.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion import units
from fusion.conventions import SPATIAL, stderr_name
from fusion.errors import FileReadError
from fusion.files import hdf5
from fusion.model import Axis, length
from fusion.reading.stored_array import POINT, StoredArray

Array = npt.NDArray[np.float64]
Named = tuple[str, str]
_HEADER: Final = re.compile(rb'(\xef\xbb\xbf)?("?[^",\r\n]+"?,)*"?[xyz] \[')
_Z_ERROR, _Y_ERROR, _X_ERROR = map(stderr_name, SPATIAL)
_THUNDERSTORM: Final = {
    "frame": "frame_number", "intensity": "photons", "offset": "background", "bkgstd": "background_std",
    "sigma": "psf_sigma", "sigma1": "psf_sigma_1", "sigma2": "psf_sigma_2", "uncertainty_z": _Z_ERROR,
}  # fmt: skip
_SMAP: Final[Mapping[str, Named]] = {
    "xnm": ("x", "nm"), "ynm": ("y", "nm"), "znm": ("z", "nm"),
    "xnmerr": (_X_ERROR, "nm"), "ynmerr": (_Y_ERROR, "nm"), "locprecznm": (_Z_ERROR, "nm"),
    "phot": ("photons", "count"), "photerr": (stderr_name("photons"), "count"), "bg": ("background", "count"),
    "frame": ("frame_number", "1"), "channel": ("channel_number", "1"), "filenumber": ("file_number", "1"),
    "PSFxnm": ("psf_sigma_x", "nm"), "PSFynm": ("psf_sigma_y", "nm"), "iterations": ("iterations", "1"),
    "logLikelihood": ("log_likelihood", "1"), "LLrel": ("relative_log_likelihood", "1"),
}  # fmt: skip
_PICASSO: Final[Mapping[str, Named]] = {
    "x": ("x", "px"), "y": ("y", "px"), "z": ("z", "nm"),
    "lpx": (_X_ERROR, "px"), "lpy": (_Y_ERROR, "px"), "lpz": (_Z_ERROR, "nm"),
    "photons": ("photons", "count"), "photons_unc": (stderr_name("photons"), "count"),
    "bg": ("background", "count"), "bg_unc": (stderr_name("background"), "count"), "frame": ("frame_number", "1"),
    "sx": ("psf_sigma_x", "px"), "sy": ("psf_sigma_y", "px"), "group": ("group", "1"), "len": ("frames", "1"),
    "net_gradient": ("net_gradient", "1"), "log_likelihood": ("log_likelihood", "1"), "iterations": ("iterations", "1"),
}  # fmt: skip


class Column(NamedTuple):
    """One column of a table: its unit in the file, its type, and how to read it."""

    unit: str
    dtype: Any
    load: Callable[[], Any]


def is_thunderstorm(head: bytes) -> bool:
    """Whether a file begins with a row of titles, one of which is a position with its unit: ``"x [nm]"``."""
    return _HEADER.match(head) is not None


def thunderstorm(path: Path) -> list[StoredArray]:
    """List the columns of a ThunderSTORM table (Ovesný et al., Bioinformatics 30, 2389, 2014); its titles name units.

    ``uncertainty_xy``, in older files ``uncertainty``, holds for x and for y.
    """
    text = path.read_text(encoding="utf-8-sig")
    if not text.endswith("\n"):
        reason = "its last line has no end, so that it may be cut short"
        raise FileReadError(path, reason, hint="copy it again; if it is whole, end that line")
    titles = next(csv.reader([text.partition("\n")[0].rstrip("\r")]))
    rows = _rows(path, text.partition("\n")[2], len(titles))
    columns: dict[str, Column] = {}
    for title, values in zip(titles, rows.T, strict=True):
        label, _, unit = title.strip().rstrip("]").partition(" [")
        for name in _names(label):
            if name in columns:
                raise FileReadError(path, f"two columns are called {name!r}", hint="leave one of them out")
            columns[name] = Column(_unit(path, title, unit), rows.dtype, values.copy)
    return _columns(path, columns, {"columns": titles})


def _rows(path: Path, text: str, width: int) -> Array:
    if not text.strip():
        return np.empty((0, width))
    try:
        rows = np.loadtxt(StringIO(text), delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        raise FileReadError(path, f"a row is damaged ({error})", hint="export the table again") from error
    if rows.shape[1] != width:
        reason = f"the rows have {rows.shape[1]} numbers where the titles name {width} columns"
        raise FileReadError(path, reason, hint="export the table again")
    return rows


def _names(label: str) -> list[str]:
    if label in ("uncertainty", "uncertainty_xy"):
        return [_Y_ERROR, _X_ERROR]
    return [_THUNDERSTORM.get(label, re.sub(r"\W", "_", label))]


def _unit(path: Path, title: str, unit: str) -> str:
    known = "count" if unit == "photon" else unit
    if not units.is_compatible(known, known):
        reason = f"the column {title!r} has a unit that is not known"
        raise FileReadError(path, reason, hint="export the table in nm and photons")
    return known


def is_smap(path: Path) -> bool:
    """Whether a MATLAB 7.3 file was written by SMAP (Ries, Nat. Methods 17, 870, 2020)."""
    with hdf5.opened(path, arrays=()) as file:
        return "saveloc/loc/xnm" in file


def smap(path: Path) -> list[StoredArray]:
    """List the columns of SMAP's localisations; where x and y have no errors of their own, ``locprecnm`` is both."""
    sizes = _read(path, lambda file: {key: _size(item) for key, item in file["saveloc/loc"].items()})
    filled = {key for key, size in sizes.items() if size == sizes["xnm"]}
    names = {new: (key, unit) for key, (new, unit) in _SMAP.items() if key in filled}
    if "locprecnm" in filled:
        names = {_Y_ERROR: ("locprecnm", "nm"), _X_ERROR: ("locprecnm", "nm")} | names
    columns = {new: Column(unit, np.dtype(np.float64), _smap(path, key)) for new, (key, unit) in names.items()}
    return _columns(path, columns, {"columns": sorted(sizes)})


def _size(item: Any) -> int:
    """Return the length of a MATLAB vector; an empty one is stored as its shape."""
    return 0 if "MATLAB_empty" in item.attrs or len(item.shape) != 2 else int(item.size)


def _smap(path: Path, key: str) -> Callable[[], Array]:
    def values(file: Any) -> Array:
        item = file["saveloc/loc"][key]
        return np.asarray(item[()], np.float64).ravel()[: _size(item)]

    return lambda: _read(path, values)


def is_picasso(path: Path) -> bool:
    """Whether an HDF5 file has a table of localisations as Picasso writes it."""
    with hdf5.opened(path, arrays=()) as file:
        return {"x", "y"} <= set(_fields(file.get("locs")))


def picasso(path: Path) -> list[StoredArray]:
    """List the columns of Picasso's localisations (Schnitzbauer et al., Nat. Protoc. 12, 1198, 2017).

    z is in nm, all other lengths are in camera pixels. Their size in nm is the last ``Pixelsize`` of the YAML file
    beside it, or of the ``metadata`` that newer files hold.
    """
    fields = _read(path, lambda file: _fields(file["locs"]))
    known = {new: (key, unit) for key, (new, unit) in _PICASSO.items() if key in fields}
    columns = {new: Column(unit, np.dtype(np.float64), _picasso(path, key)) for new, (key, unit) in known.items()}
    info = _read(path, lambda file: _info(path, file))
    sizes = [entry["Pixelsize"] for entry in info if isinstance(entry, dict) and "Pixelsize" in entry]
    found = _columns(path, columns, {"columns": list(fields), "info": [str(entry) for entry in info]})
    return [_scaled(part, length(f"{sizes[-1]} nm")) for part in found] if sizes else found


def _fields(table: Any) -> tuple[str, ...]:
    return getattr(getattr(table, "dtype", None), "names", None) or ()


def _picasso(path: Path, key: str) -> Callable[[], Array]:
    return lambda: _read(path, lambda file: np.asarray(file["locs"][key], np.float64))


def _info(path: Path, file: Any) -> list[Any]:
    """Return what Picasso noted at each step, the YAML file first, as Picasso does."""
    import yaml

    beside = path.with_suffix(".yaml")
    if not beside.is_file():
        return list(json.loads(file["metadata"].asstr()[()])) if "metadata" in file else []
    try:
        text = beside.read_text(encoding="utf-8")
        if not text.endswith("\n"):
            # 104 nm would become 10 nm
            reason = "its last line has no end, so that it may be cut short"
            raise FileReadError(beside, reason, hint="copy it again; if it is whole, end that line")
        return list(yaml.safe_load_all(text))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileReadError(beside, f"damaged YAML ({error})", hint="copy it again") from error


def _read(path: Path, what: Callable[[Any], Any]) -> Any:
    with hdf5.opened(path) as file:
        return what(file)


def _columns(path: Path, columns: Mapping[str, Column], metadata: Mapping[str, Any]) -> list[StoredArray]:
    """Return a part for each column that is no position; lengths in um, or in px where the size is not known."""
    missing = [dim for dim in ("y", "x") if dim not in columns]
    if missing or not set(columns) - set(SPATIAL):
        reason = f"it has no column for {' and '.join(missing) or 'anything but the positions'}"
        raise FileReadError(path, reason, hint="export the localisations with positions, frames and photons")
    axes = {dim: Axis(columns[dim].unit, values=columns[dim].load()) for dim in SPATIAL if dim in columns}
    return [_column(name, columns[name], axes, metadata) for name in columns if name not in SPATIAL]


def _column(name: str, column: Column, axes: Mapping[str, Axis], metadata: Mapping[str, Any]) -> StoredArray:
    attrs = {"units": column.unit, "long_name": name.replace("_", " ")}
    part = StoredArray(
        name,
        POINT,
        shape=np.asarray(axes["x"].values).shape,
        dtype=column.dtype,
        load=column.load,
        axes=axes,
        attrs=attrs,
        dataset_attrs={"technique": "SMLM"},
        variable=name,
        metadata=metadata,
    )
    if units.is_compatible(column.unit, units.LENGTH):
        return _converted(part, units.convert_factor(column.unit, units.LENGTH), units.LENGTH)
    return part


def sized(path: Path, parts: Sequence[StoredArray], said: Mapping[str, Any]) -> list[StoredArray]:
    """Return the columns with lengths in um, by the size of a camera pixel that the user says if the file does not.

    Raises
    ------
    FileReadError
        If the size is needed and missing, or something is said that does not apply to a table of points.
    """
    needless = [key for key in ("dims", "labels") if key in said]
    in_px = [dim for dim, axis in parts[0].axes.items() if units.parse(axis.units) == units.PIXEL]
    if not in_px:
        needless += [key for key in ("voxel", "units") if key in said]
    if needless:
        reason = f"a table of points says all of itself; {', '.join(needless)} cannot apply to it"
        raise FileReadError(path, reason, hint="leave that out")
    if in_px:
        parts = [_scaled(part, _pixel(path, in_px, said)) for part in parts]
    return list(parts)


def _pixel(path: Path, in_px: Sequence[str], said: Mapping[str, Any]) -> float:
    size = said.get("voxel")
    if not isinstance(size, (str, int, float)):
        reason = f"positions along {', '.join(in_px)} are in camera pixels, whose size it does not say (voxel={size!r})"
        raise FileReadError(path, reason, hint="give the side of a camera pixel in the specimen, e.g. voxel='104 nm'")
    return length(size if isinstance(size, str) else f"{size!r} {said.get('units', units.LENGTH)}")


def _scaled(part: StoredArray, pixel: float) -> StoredArray:
    """Return a column whose lengths in px are now in um."""
    axes = {
        dim: Axis(units.LENGTH, values=np.asarray(axis.values) * pixel) if axis.units == units.PIXEL else axis
        for dim, axis in part.axes.items()
    }
    scaled = replace(part, axes=axes)
    return _converted(scaled, pixel, units.LENGTH) if part.attrs["units"] == units.PIXEL else scaled


def _converted(part: StoredArray, factor: float, unit: str) -> StoredArray:
    return replace(part, load=lambda: part.load() * factor, attrs={**part.attrs, "units": unit})
