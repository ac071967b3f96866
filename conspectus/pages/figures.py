"""The pictures of a report, drawn with Matplotlib and returned as PNG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
import volumes
from conspectus.project import Picture
from fusion import display
from fusion.conventions import error_of, label_names, signal_dim, spatial_dims
from fusion.variables import main_variable
from fusion.warp import Transform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
_INK: Final = "#1c2733"
_BLUE: Final = display.color(1)


def _picture(draw: Callable[P, tuple[str, str, Figure]]) -> Callable[P, Picture]:
    """Turn a function that draws a figure into one that returns it as a picture."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Picture:
        title, caption, figure = draw(*args, **kwargs)
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=110, facecolor="white")
        return Picture(title, buffer.getvalue(), caption)

    return drawn


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, npt.NDArray[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.tick_params(labelsize=9, colors=_INK)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    return figure, axes


@_picture
def endmembers(result: xr.Dataset) -> tuple[str, str, Figure]:
    """Draw each endmember in its colour, one above the other."""
    spectra = result["endmember"]
    axis = signal_dim(spectra.isel(component=0, drop=True))
    figure, axes = _figure(9, 1.5 * spectra.sizes["component"] + 0.6, spectra.sizes["component"])
    for index, ax in enumerate(axes[:, 0]):
        ax.plot(result[axis], spectra[index], color=display.color(index), linewidth=1.2)
        ax.set_title(_name(spectra, index), loc="left", fontsize=10, color=_INK)
        ax.margins(x=0.01)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        if index < len(axes) - 1:
            ax.sharex(axes[-1, 0])
            ax.tick_params(labelbottom=False)
    axes[-1, 0].set_xlabel(_label(result[axis]), color=_INK)
    return "Endmembers", "The spectrum of each component, each on its own scale.", figure


@_picture
def abundances(result: xr.Dataset) -> tuple[str, str, Figure]:
    """Draw the map of each component; of a volume, its middle plane."""
    maps = result["abundance"]
    if "z" in maps.dims:
        maps = maps.isel(z=maps.sizes["z"] // 2)
    count = maps.sizes["component"]
    if len(spatial_dims(maps)) != 2:
        return "Abundances", "The abundance of each component along the line.", _profile(maps)
    figure, axes = _figure(3.1 * count, 3.1, 1, count)
    for index, ax in enumerate(axes[0]):
        shown = ax.imshow(maps[..., index], cmap="viridis", aspect="equal", **_face_on(maps, result))
        ax.set_title(_name(maps, index), fontsize=10, color=display.color(index))
        ax.set_xlabel(_label(maps["x"]), fontsize=9)
        figure.colorbar(shown, ax=ax, orientation="horizontal", shrink=0.8).ax.tick_params(labelsize=8)
    axes[0, 0].set_ylabel(_label(maps["y"]), fontsize=9)
    return "Abundances", f"Where each component is ({maps.attrs.get('units', '1')}).", figure


@_picture
def mean_spectra(raw: xr.Dataset, corrected: xr.Dataset, name: str) -> tuple[str, str, Figure]:
    """Draw the mean spectrum before and after a correction."""
    figure, axes = _figure(9, 2.8)
    for ds, label, color in ((raw, "as measured", "#8a97a5"), (corrected, "baseline removed", _BLUE)):
        array = main_variable(ds)
        axis = signal_dim(array)
        axes[0, 0].plot(ds[axis], array.mean(spatial_dims(array)), label=label, color=color, linewidth=1.2)
        axes[0, 0].set_xlabel(_label(ds[axis]))
    axes[0, 0].legend(frameon=False, fontsize=9)
    axes[0, 0].margins(x=0.01)
    return f"Baseline of {name}", "Mean spectrum before and after.", figure


@_picture
def spectrum(result: xr.DataArray, position: Mapping[str, float]) -> tuple[str, str, Figure]:
    """Draw a spectrum with its standard error."""
    axis = str(result.dims[-1])
    figure, axes = _figure(9, 2.8)
    values, x = result.values, result[axis].values
    if name := error_of(result):
        error = result[name].values
        axes[0, 0].fill_between(x, values - error, values + error, color=_BLUE, alpha=0.35, linewidth=0)
    axes[0, 0].plot(x, values, color=_INK, linewidth=0.9)
    axes[0, 0].set_xlabel(_label(result[axis]))
    axes[0, 0].margins(x=0.01)
    where = ", ".join(f"{dim} = {value:.3f} um" for dim, value in position.items())
    return "Spectrum at a voxel", f"{where}; the band is one standard error.", figure


@_picture
def phases(
    fused: xr.Dataset,
    guess: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    covered: npt.NDArray[np.bool_],
    names: list[str],
) -> tuple[str, str, Figure]:
    """Draw the phases of the face as they were estimated, as they are, and where the two differ."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    estimate = np.full(covered.shape, np.nan)
    estimate[covered] = guess
    plane = int(covered.sum(axis=(1, 2)).argmax())
    shown = [estimate[plane], np.where(covered[plane], truth[plane], np.nan)]
    figure, axes = _figure(10, 3.6, 1, 3)
    palette = ListedColormap([display.color(index) for index in range(len(names))])
    for ax, image, title in zip(axes[0], shown, ("estimated", "true"), strict=False):
        ax.imshow(image, cmap=palette, vmin=-0.5, vmax=len(names) - 0.5, interpolation="nearest", **_face_on(fused))
        ax.set_title(title, fontsize=10)
    wrong = np.where(covered[plane], estimate[plane] != truth[plane], np.nan)
    axes[0, 2].imshow(wrong, cmap="Greys", vmin=0, vmax=1, interpolation="nearest", **_face_on(fused))
    axes[0, 2].set_title("differ", fontsize=10)
    for ax in axes[0]:
        ax.set_xlabel(_label(fused["x"]), fontsize=9)
    axes[0, 0].set_ylabel(_label(fused["y"]), fontsize=9)
    patches = [Patch(color=display.color(i), label=name) for i, name in enumerate(names)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    return "Phases against the truth", f"The plane z = {float(fused['z'][plane]):.3f} um.", figure


@_picture
def curves(profiles: Mapping[str, xr.DataArray], title: str, caption: str) -> tuple[str, str, Figure]:
    """Draw several curves over one axis."""
    figure, axes = _figure(7.5, 3.4)
    for index, (name, profile) in enumerate(profiles.items()):
        axis = str(profile.dims[0])
        position = profile[axis] * _scale(profile[axis])[0]
        axes[0, 0].plot(position, profile, "o-", label=name, color=display.color(index), markersize=3.5, linewidth=1.4)
        axes[0, 0].set_xlabel(_label(profile[axis]))
        axes[0, 0].set_ylabel(str(profile.attrs.get("long_name", "")))
    axes[0, 0].legend(frameon=False, fontsize=9)
    return title, caption, figure


@_picture
def planes(images: Mapping[str, xr.DataArray], title: str, caption: str) -> tuple[str, str, Figure]:
    """Draw two-dimensional arrays side by side, each on its own scale."""
    figure, axes = _figure(2.9 * len(images), 3.4, 1, len(images))
    for ax, (name, image) in zip(axes[0], images.items(), strict=True):
        top = float(np.nanpercentile(image, 99.8)) or 1.0
        ax.imshow(image, cmap="magma", vmax=top, vmin=0.0, interpolation="nearest", **_face_on(image))
        ax.set_title(name, fontsize=9)
        ax.set_xlabel(_label(image[image.dims[1]]), fontsize=9)
        ax.set_ylabel(_label(image[image.dims[0]]), fontsize=9)
    return title, caption, figure


@_picture
def labels(ds: xr.Dataset, array: xr.DataArray, title: str) -> tuple[str, str, Figure]:
    """Draw a label image in colours; of a volume, its middle section."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    flat = array.isel(z=array.sizes["z"] // 2) if "z" in array.dims else array
    names = {flag: name for flag, name in sorted(label_names(array).items()) if flag >= 0}
    flags = list(names)
    ranks = np.where(flat.values < 0, np.nan, np.searchsorted(flags, flat.values))
    figure, axes = _figure(5.4, 5.0)
    shades = ["white" if name == "background" else display.color(k) for k, name in enumerate(names.values())]
    limits = {"vmin": -0.5, "vmax": len(flags) - 0.5}
    axes[0, 0].imshow(ranks, cmap=ListedColormap(shades), interpolation="nearest", **limits, **_face_on(flat, ds))
    axes[0, 0].set_xlabel(_label(flat[flat.dims[1]]), fontsize=9)
    axes[0, 0].set_ylabel(_label(flat[flat.dims[0]]), fontsize=9)
    if len(flags) <= len(display.PALETTE):
        patches = [Patch(color=shade, label=name) for shade, name in zip(shades, names.values(), strict=True)]
        figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False, fontsize=9)
    where = f"The section z = {float(flat['z']):.3f} um." if "z" in array.dims else "Each colour is one label."
    return title, where, figure


@_picture
def alignment(moving: xr.Dataset, fixed: xr.Dataset, transform: Transform) -> tuple[str, str, Figure]:
    """Draw two datasets before and after their registration."""
    caption = "In squares of the two in turns, and blended; where the two agree, edges go on and the blend is white."
    return "Before and after registration", caption, volumes.plot_alignment(moving, fixed, transform)


@_picture
def residuals(
    placed: fusion.Registration[Any], points: npt.ArrayLike, fixed: xr.Dataset | None = None
) -> tuple[str, str, Figure]:
    """Draw the residuals of landmarks or points with the error of the transform."""
    caption = "From where each landmark is mapped to where it was found; ellipses are the error of the transform alone."
    return "Residuals of the landmarks", caption, volumes.plot_residuals(placed, points, fixed)


@_picture
def expected_error(
    placed: fusion.Registration[Any], moving: xr.Dataset, points: npt.ArrayLike
) -> tuple[str, str, Figure]:
    """Draw the registration error that is expected over a map."""
    caption = (
        "Root mean square distance between where the transform puts a point and where it belongs; landmarks are +."
    )
    return "Expected registration error", caption, volumes.plot_expected_error(placed.transform, moving, points)


def _profile(maps: xr.DataArray) -> Figure:
    figure, axes = _figure(9, 2.8)
    dims: Sequence[str] = spatial_dims(maps)
    for index in range(maps.sizes["component"]):
        axes[0, 0].plot(maps[..., index].values.ravel(), color=display.color(index), label=_name(maps, index))
    axes[0, 0].set_xlabel(_label(maps[dims[0]]) if dims else "pixel")
    return figure


def _face_on(array: xr.DataArray | xr.Dataset, ds: xr.Dataset | None = None) -> dict[str, Any]:
    """Return the edges of the pixels of the last two spatial dims, and where the first row of `ds` lies."""
    y, x = spatial_dims(array)[-2:]
    left, right, low, high = display.extent(array, y, x)
    across, along = _scale(array[x])[0], _scale(array[y])[0]
    left, right, low, high = left * across, right * across, low * along, high * along
    if y == "y" and display.y_upwards(array if ds is None else ds):
        return {"origin": "lower", "extent": (left, right, low, high)}
    return {"origin": "upper", "extent": (left, right, high, low)}


def _label(coordinate: xr.DataArray) -> str:
    return display.with_unit(str(coordinate.attrs.get("long_name", coordinate.name)), _scale(coordinate)[1])


def _scale(coordinate: xr.DataArray) -> tuple[float, str]:
    """Return the factor and the unit in which an axis reads well."""
    return display.axis_unit(str(coordinate.attrs.get("units", "1")), float(np.ptp(coordinate.values)))


def _name(array: xr.DataArray, index: int) -> str:
    label = array["component"].values[index]
    return str(label) if isinstance(label, str) else f"component {label}"
