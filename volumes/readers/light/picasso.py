"""Localisations of Picasso: HDF5 with YAML beside it (Schnitzbauer et al., Nat. Protoc. 12, 1198, 2017)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fusion.conventions import stderr_name
from fusion.errors import FileReadError
from fusion.files import hdf5
from fusion.model import length
from fusion.reading.stored_array import StoredArray
from volumes.readers.light.localisations import X_ERROR, Y_ERROR, Z_ERROR, Column, arrays_of, scaled

Array = npt.NDArray[np.float64]
Named = tuple[str, str]
_PICASSO: Final[Mapping[str, Named]] = {
    "x": ("x", "px"), "y": ("y", "px"), "z": ("z", "nm"),
    "lpx": (X_ERROR, "px"), "lpy": (Y_ERROR, "px"), "lpz": (Z_ERROR, "nm"),
    "photons": ("photons", "count"), "photons_unc": (stderr_name("photons"), "count"),
    "bg": ("background", "count"), "bg_unc": (stderr_name("background"), "count"), "frame": ("frame_number", "1"),
    "sx": ("psf_sigma_x", "px"), "sy": ("psf_sigma_y", "px"), "group": ("group", "1"), "len": ("frames", "1"),
    "net_gradient": ("net_gradient", "1"), "log_likelihood": ("log_likelihood", "1"), "iterations": ("iterations", "1"),
}  # fmt: skip


def is_picasso(path: Path) -> bool:
    """Whether an HDF5 file has a table of localisations as Picasso writes it."""
    with hdf5.opened(path, arrays=()) as file:
        return {"x", "y"} <= set(_fields(file.get("locs")))


def arrays(path: Path) -> list[StoredArray]:
    """List the columns of Picasso's localisations (Schnitzbauer et al., Nat. Protoc. 12, 1198, 2017).

    z is in nm, all other lengths are in camera pixels. Their size in nm is the last ``Pixelsize`` of the YAML file
    beside it, or of the ``metadata`` that newer files hold.
    """
    fields = _read(path, lambda file: _fields(file["locs"]))
    known = {new: (key, unit) for key, (new, unit) in _PICASSO.items() if key in fields}
    columns = {new: Column(unit, np.dtype(np.float64), _picasso(path, key)) for new, (key, unit) in known.items()}
    info = _read(path, lambda file: _info(path, file))
    sizes = [entry["Pixelsize"] for entry in info if isinstance(entry, dict) and "Pixelsize" in entry]
    arrays = arrays_of(path, columns, {"columns": list(fields), "info": [str(entry) for entry in info]})
    return [scaled(array, length(f"{sizes[-1]} nm")) for array in arrays] if sizes else arrays


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
