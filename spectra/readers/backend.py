"""The xarray backend: ``xr.open_dataset("map.bcf", engine="spectra")``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr
from xarray.backends import BackendEntrypoint

from spectra.readers import formats, opening


class SpectraBackend(BackendEntrypoint):
    """Opens what `spectra.open` opens; guesses only at extensions that mean spectra and nothing else."""

    description: ClassVar[str] = "Spectral microscopy files (Bruker, JEOL, Velox, Gatan, Renishaw, Delmic, ...)"
    open_dataset_parameters: ClassVar[tuple[str, ...]] = ("filename_or_obj", "drop_variables", "name")

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, name: str | None = None
    ) -> xr.Dataset:
        """Open one item of a file, see `spectra.open`."""
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return opening.open(filename_or_obj, name=name).drop_vars(dropped)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the extension is that of a vendor of spectrometers or spectral microscopes."""
        return isinstance(filename_or_obj, (str, Path)) and Path(filename_or_obj).suffix.lower() in formats.extensions()
