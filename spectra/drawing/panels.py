"""What the figures of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

import fusion
from fusion.errors import ConventionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def one_panel() -> tuple[Figure, Any]:
    """Return a figure with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    return figure, figure.subplots()


def require_variables(ds: xr.Dataset, source: str, *names: str) -> None:
    """Refuse a dataset that is not what `source` returned."""
    missing = [name for name in names if name not in fusion.check(ds).data_vars]
    if missing:
        raise ConventionError([f"{name}: not in the dataset; give what spectra.{source} returns" for name in missing])
