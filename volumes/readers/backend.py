"""Images and volumes for people who know only xarray: ``xr.open_dataset("stack.tif", engine="volumes")``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from fusion.errors import FileReadError
from volumes.readers import opening

_SUFFIXES = (".tif", ".tiff", ".czi", ".nd2", ".lif", ".mrc", ".mat")
_PARAMETERS = ("filename_or_obj", "drop_variables", "name", "voxel", "units", "dims", "technique")


class VolumesBackend(BackendEntrypoint):
    """Opens what `volumes.open` opens."""

    description = "Images, stacks and volumes of microscopes, on physical axes"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = _PARAMETERS

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        name: str | None = None,
        voxel: str | float | Mapping[str, str | float] | None = None,
        units: str | None = None,
        dims: tuple[str, ...] | None = None,
        technique: str | None = None,
    ) -> xr.Dataset:
        """Open a file as a labelled dataset; the options are those of `volumes.open`."""
        if not isinstance(filename_or_obj, (str, Path)):
            kind = type(filename_or_obj).__name__
            raise FileReadError(kind, "a path is needed", hint="store the data in a file first")
        ds = opening.open(filename_or_obj, name=name, voxel=voxel, units=units, dims=dims, technique=technique)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return ds.drop_vars(dropped, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name is one of those that no other engine of xarray opens."""
        return isinstance(filename_or_obj, (str, Path)) and Path(filename_or_obj).suffix.lower() in _SUFFIXES
