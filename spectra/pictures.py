"""Pictures of what a decomposition rests on, as Matplotlib figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import fusion
from fusion.errors import ConventionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scree(counted: xr.Dataset) -> Figure:
    """Draw the singular values of a map beside what noise reaches.

    Parameters
    ----------
    counted : Dataset
        As `count_components` returns it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConventionError
        If the dataset is another one.

    Examples
    --------
    >>> from fusion import Axis
    >>> from spectra.rank import count_components
    >>> counts = np.random.default_rng(0).poisson(9.0, (6, 7, 8))
    >>> axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    >>> ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    >>> scree(count_components(ds, most=5)).axes[0].get_title()
    '1 component above noise'
    """
    _require(counted, "count_components", "singular_value", "threshold", "components")
    values, threshold, count = (counted[key].values for key in ("singular_value", "threshold", "components"))
    figure, axes = _figure()
    number = np.arange(1, values.size + 1)
    axes.semilogy(number[:count], values[:count], "o", color="#1f6fb4", label="counted")
    axes.semilogy(number[count:], values[count:], "o", color="#9aa5b1", label="not counted")
    axes.axhline(threshold, color="#c0392b", linewidth=1.0, label="noise reaches")
    axes.set(xlabel="component", ylabel="singular value", xticks=number)
    axes.set_title(f"{count} component{'s' if count != 1 else ''} above noise")
    axes.legend(frameon=False)
    return figure


def similarities(stable: xr.Dataset) -> Figure:
    """Draw how well each component was found again, the mean as a bar and the worst as a mark.

    Parameters
    ----------
    stable : Dataset
        As `stability` returns it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ConventionError
        If the dataset is another one.
    """
    _require(stable, "stability", "similarity", "lowest_similarity")
    figure, axes = _figure()
    number = np.arange(stable.sizes["component"])
    axes.bar(number, stable["similarity"].values, color="#9ec5e8", label="mean")
    axes.plot(number, stable["lowest_similarity"].values, "_", color="#c0392b", markersize=18, label="lowest")
    axes.set(xlabel="component", ylabel="cosine with the first start", xticks=number, ylim=(0.0, 1.05))
    axes.legend(frameon=False, loc="lower right")
    return figure


def _figure() -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    return figure, figure.subplots()


def _require(ds: xr.Dataset, source: str, *names: str) -> None:
    missing = [name for name in names if name not in fusion.check(ds).data_vars]
    if missing:
        raise ConventionError([f"{name}: not in the dataset; give what spectra.{source} returns" for name in missing])
