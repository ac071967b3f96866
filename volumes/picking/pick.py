"""Picking landmarks in two images, in a notebook or in a page that anyone can open."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import Registration, register_landmarks
from fusion.errors import DataError
from fusion.reading.paths import PathArg
from fusion.registration.result import Model
from volumes.picking.images import image
from volumes.picking.landmarks import SIDES, as_dataset
from volumes.viewer import _planes
from volumes.viewer.document import PICKER, html
from volumes.viewer.page import write
from volumes.widgets.frame import Frame

_HEIGHT: Final = 900
_MOST: Final = 10_000
_ABOUT: Final = (
    "Click a place in one image, then the same place in the other. Drag a cross to move it, the image to shift it; the "
    "wheel enlarges; Delete removes the selected pair. Residuals in the fixed image are drawn ten times as long."
)


class Picker:
    """Two images in a notebook, and the landmarks that are set in them.

    Attributes
    ----------
    landmarks : Dataset
        The pairs as they stand: ``moving`` and ``fixed`` over (point, axis), y and x in um.
    model : str
        The model that is chosen on the page.
    """

    def __init__(self, page: str, names: tuple[str, str], pairs: npt.NDArray[np.float64], model: Model) -> None:
        self._names, self._pairs, self.model = names, pairs, model
        self._frame = Frame(page, _HEIGHT, self._heard)

    @property
    def landmarks(self) -> xr.Dataset:
        """The pairs as they stand."""
        return as_dataset(self._pairs, self._names)

    def register(self, **options: Any) -> Registration[Any]:
        """Return the transform that the landmarks say.

        Parameters
        ----------
        **options
            Those of `fusion.register_landmarks`; ``model`` is the one chosen on the page if left out.

        Returns
        -------
        Registration
        """
        marks = self.landmarks
        return register_landmarks(*(marks[side].values for side in SIDES), **{"model": self.model, **options})

    def observe(self, call: Any) -> None:
        """Call a function with the picker whenever a landmark changes."""
        self._frame.observe(lambda: call(self))

    def _heard(self, report: dict[str, Any]) -> bool:
        """Take what the page reports, if it is what a page can say."""
        try:
            pairs = np.array(report["pairs"], dtype=np.float64).reshape(-1, 2, 2)
        except (KeyError, TypeError, ValueError):
            return False
        if len(pairs) > _MOST or not np.isfinite(pairs).all() or report.get("model") not in get_args(Model):
            return False
        self._pairs, self.model = pairs, report["model"]
        return True

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._frame.mimebundle(**options)

    def __repr__(self) -> str:
        return f"{len(self._pairs)} pairs of landmarks in {self._names[0]} and {self._names[1]}"


def pick(
    moving: xr.Dataset, fixed: xr.Dataset, *, model: Model = "rigid", landmarks: xr.Dataset | None = None
) -> Picker:
    """Pick pairs of landmarks in two images, in a notebook.

    Residuals, the error expected over the moving image, and the pair that disagrees with the others follow each
    change, as `fusion.register_landmarks` gives them for pairs of equal, unknown error.

    Parameters
    ----------
    moving, fixed : Dataset
        Images with y and x in um.
    model : {"rigid", "similarity", "affine"}
        Which transform the page begins with.
    landmarks : Dataset, optional
        Pairs to begin with, as `Picker.landmarks` or `read_landmarks` gives them.

    Returns
    -------
    Picker
        Shown by Jupyter; ``landmarks`` and ``register()`` give what was picked.

    Raises
    ------
    DataError
        If a dataset is no image, or the tools of Jupyter are not installed.
    UnitError
        If a pixel size is not known.
    """
    page, names, pairs = _page(moving, fixed, model, landmarks)
    return Picker(page, names, pairs, model)


def pick_page(
    moving: xr.Dataset,
    fixed: xr.Dataset,
    path: PathArg,
    *,
    model: Model = "rigid",
    landmarks: xr.Dataset | None = None,
) -> Path:
    """Write the page of `pick` as a file that needs nothing but a browser and saves the landmarks as CSV.

    Parameters
    ----------
    moving, fixed, model, landmarks
        As for `pick`.
    path : path-like
        A name ending in ``.html``; an existing file is replaced.

    Returns
    -------
    Path
        `read_landmarks` reads what the page saves.

    Raises
    ------
    DataError
        If a dataset is no image.
    UnitError
        If a pixel size is not known.
    StoreError
        If the file cannot be written.
    """
    return write(path, _page(moving, fixed, model, landmarks)[0])


def _page(
    moving: xr.Dataset, fixed: xr.Dataset, model: Model, landmarks: xr.Dataset | None
) -> tuple[str, tuple[str, str], npt.NDArray[np.float64]]:
    if model not in get_args(Model):
        raise DataError(f"model is one of {', '.join(get_args(Model))}; received {model!r}")
    pairs = _pairs(landmarks)
    headers: list[dict[str, Any]] = []
    texts: dict[str, str] = {}
    for n, (side, ds) in enumerate(zip(SIDES, (moving, fixed), strict=True)):
        header, planes = image(ds, side)
        packed = [_planes.packed(plane) for plane in planes]
        headers.append(header | {"planes": [back for back, _ in packed]})
        texts |= {f"{n}-{k}": text for k, (_, text) in enumerate(packed)}
    names = str(headers[0]["name"]), str(headers[1]["name"])
    title = f"Landmarks of {names[0]} on {names[1]}"
    header = {"title": title, "about": _ABOUT, "images": headers, "model": model, "pairs": pairs.tolist()}
    return html(title, header, texts, PICKER), names, pairs


def _pairs(landmarks: xr.Dataset | None) -> npt.NDArray[np.float64]:
    if landmarks is None:
        return np.zeros((0, 2, 2))
    if not set(SIDES) <= set(landmarks.data_vars):
        raise DataError(f"landmarks have the variables moving and fixed; received {list(landmarks.data_vars)}")
    return np.stack([landmarks[side].sel(axis=["y", "x"]).values for side in SIDES], axis=1)
