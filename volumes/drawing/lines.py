"""Profiles as figures: a panel for each variable, on one axis of distance, with bands of one standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import xarray as xr

from fusion import display
from fusion.conventions import describing, error_of, spatial_dims, stderr_name, title
from fusion.errors import DataError
from volumes.drawing.options import BACKGROUND, INK, Options

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI: Final = 100
_BAND: Final = 0.35
_MOST: Final = 6


class Curve(NamedTuple):
    """Values along a line with their standard error, if it is known, and how they are drawn."""

    name: str
    values: xr.DataArray
    error: xr.DataArray | None
    color: str


class Panel(NamedTuple):
    """The curves that share an axis, what they are of, and their unit."""

    title: str
    unit: str
    curves: list[Curve]


def is_line(ds: xr.Dataset | xr.DataTree) -> bool:
    """Whether a dataset, or each of a tree, has a single spatial dim of several pixels."""
    if isinstance(ds, xr.DataTree):
        nodes = [node.to_dataset() for node in ds.subtree if node.has_data]
        return bool(nodes) and all(map(is_line, nodes))
    return isinstance(ds, xr.Dataset) and len(spatial_dims(ds)) == 1


def plot_lines(ds: xr.Dataset | xr.DataTree, options: Options, *, light: bool) -> Figure:
    """Draw values along a line, each variable in a panel of its own."""
    from matplotlib.figure import Figure

    paper, ink = ("#ffffff", "#1c2733") if light else (BACKGROUND, INK)
    datasets = [ds] if isinstance(ds, xr.Dataset) else [node.to_dataset() for node in ds.subtree if node.has_data]
    panels = [panel for one in datasets for panel in _panels(one, options)]
    size = options.window_size[0] / DPI, options.window_size[1] / DPI
    figure = Figure(figsize=size, facecolor=paper, layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, panel in zip(rows, panels, strict=True):
        _draw(ax, panel, ink, paper)
    (dim,) = spatial_dims(datasets[0])
    reach = max(float(np.ptp(one[dim].values)) for one in datasets)
    factor, unit = display.axis_unit(str(datasets[0][dim].attrs["units"]), reach)
    rows[-1].xaxis.set_major_formatter(lambda value, _: f"{value * factor:.6g}")
    name = str(datasets[0][dim].attrs.get("long_name", dim))
    rows[-1].set_xlabel(display.with_unit(name, unit), color=ink)
    return figure


def _panels(ds: xr.Dataset, options: Options) -> list[Panel]:
    """Return a panel for each variable along the line, its components together."""
    (dim,) = spatial_dims(ds)
    aside = {*describing(ds), stderr_name("position")}
    drawn = {str(k): v for k, v in ds.data_vars.items() if v.dims[:1] == (dim,) and v.dtype.kind in "iufb"}
    names = [name for name in drawn if name not in aside and set(drawn[name].dims[1:]) <= {"component", "channel"}]
    if options.variable is not None:
        if options.variable not in names:
            raise DataError(f"no variable {options.variable!r} along the line; there are {names}")
        names = [options.variable]
    if not names:
        raise DataError(f"{title(ds)}: no variable along {dim} to draw; it has {list(ds.data_vars)}")
    return [
        Panel(f"{title(ds)}: {name}{_off(ds)}", str(drawn[name].attrs.get("units", "1")), _curves(ds, name, options))
        for name in names
    ]


def _off(ds: xr.Dataset) -> str:
    """Return how far off the pose may put the line, for the heading."""
    off = ds.get(stderr_name("position"))
    return "" if off is None else f" (position known to {display.length(float(off.max()))})"


def _curves(ds: xr.Dataset, name: str, options: Options) -> list[Curve]:
    array = ds[name]
    key = error_of(array)
    error = ds[key] if key is not None and key in ds else None
    bands = [dim for dim in ("component", "channel") if dim in array.dims]
    shades: Sequence[str] = options.colors or display.PALETTE
    if not bands:
        return [Curve(name, array, error, shades[1 % len(shades)])]
    (band,) = bands
    labels = [str(label) for label in array[band].values]
    wanted = labels if options.components is None else [str(key) for key in options.components]
    if unknown := [label for label in wanted if label not in labels]:
        raise DataError(f"no {band} {unknown[0]!r}; there are {labels}")
    chosen = [labels.index(label) for label in wanted]
    if len(chosen) > max(_MOST, len(shades)):
        raise DataError(
            f"{len(chosen)} curves are more than {_MOST} colours; name some, e.g. components={labels[:_MOST]}"
        )
    return [
        Curve(
            f"{band} {labels[k]}" if labels[k].isdigit() else labels[k], array.isel({band: k}),
            None if error is None else error.isel({band: k}), shades[(n if options.colors else k) % len(shades)],
        )
        for n, k in enumerate(chosen)
    ]  # fmt: skip


def _draw(ax: Axes, panel: Panel, ink: str, paper: str) -> None:
    for curve in panel.curves:
        at = curve.values[str(curve.values.dims[0])].values
        values = curve.values.values.astype(float)
        if curve.error is not None:
            # an infinite error is drawn as none: the curve has no band where nothing is known of it
            half: Any = np.where(np.isfinite(curve.error.values), curve.error.values, np.nan)
            ax.fill_between(at, values - half, values + half, color=curve.color, alpha=_BAND, linewidth=0)
        ax.plot(at, values, color=curve.color, linewidth=1.4, label=curve.name)
    ax.set_title(panel.title, loc="left", color=ink, fontsize=10)
    ax.set_ylabel("" if panel.unit == "1" else display.spelled(panel.unit), color=ink)
    ax.set_facecolor(paper)
    ax.tick_params(colors=ink)
    ax.margins(x=0.01)
    for side, spine in ax.spines.items():
        spine.set_color(ink)
        spine.set_visible(side not in ("top", "right"))
    if len(panel.curves) > 1:
        ax.legend(frameon=False, fontsize=9, labelcolor=ink, loc="center left", bbox_to_anchor=(1.0, 0.5))
