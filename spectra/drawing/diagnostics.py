"""Figures that say whether a decomposition is to be trusted: how many components, and how reproducible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from fusion.conventions import stderr_name
from spectra.drawing.panels import one_panel, require_variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scree(counted: xr.Dataset) -> Figure:
    """Draw the singular values of a map beside the share of each that is reproducible in other counts.

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
    >>> import fusion
    >>> from spectra.decomposition.rank import count_components
    >>> counts = np.random.default_rng(0).poisson(9.0, (6, 7, 8))
    >>> axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0), "energy": fusion.Axis("keV", 0.1)}
    >>> ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    >>> scree(count_components(ds, most=5)).axes[0].get_title()
    '1 component is reproducible'
    """
    require_variables(
        counted, "count_components", "singular_value", "cross_validated", stderr_name("cross_validated"), "components"
    )
    values, kept, error = (
        counted[key].values for key in ("singular_value", "cross_validated", stderr_name("cross_validated"))
    )
    count = int(counted["components"])
    figure, axes = one_panel()
    number = np.arange(1, values.size + 1)
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.plot(number, values, "_", color="#4d4d4d", markersize=14, label="singular value")
    for rows, color, label in ((slice(count), "#1f6fb4", "reproducible"), (slice(count, None), "#9aa5b1", "not clear")):
        axes.errorbar(number[rows], kept[rows], 2 * error[rows], fmt="o", color=color, capsize=3, label=label)
    axes.set_yscale("symlog", linthresh=max(float(4 * np.median(error)), 1e-6), linscale=0.5)
    axes.set(xlabel="component", ylabel="over the first", xticks=number, ylim=(min(0.0, (kept - 3 * error).min()), 1.5))
    axes.set_title(f"{count} component{'s are' if count != 1 else ' is'} reproducible")
    axes.legend(frameon=False, title="with two standard errors")
    return figure


def similarities(stable: xr.Dataset) -> Figure:
    """Draw how well other starts reproduce each component, the mean as a bar and the worst as a mark.

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
    require_variables(stable, "stability", "similarity", "lowest_similarity")
    figure, axes = one_panel()
    number = np.arange(stable.sizes["component"])
    axes.bar(number, stable["similarity"].values, color="#9ec5e8", label="mean")
    axes.plot(number, stable["lowest_similarity"].values, "_", color="#c0392b", markersize=18, label="lowest")
    axes.set(xlabel="component", ylabel="cosine with the first start", xticks=number, ylim=(0.0, 1.05))
    axes.legend(frameon=False, loc="lower right")
    return figure
