"""A volume on a turntable, as a film."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from fusion.errors import DataError, StoreError
from fusion.progress import Progress, bar
from fusion.reading.paths import PathArg
from volumes.drawing.render import render

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS: Final = (".gif", ".webp", ".png")


def turntable(
    ds: xr.Dataset,
    path: PathArg,
    *,
    frames: int = 48,
    seconds: float = 4.0,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Write a film of a volume that turns once about its vertical axis.

    Parameters
    ----------
    ds : Dataset
        As for `volumes.render`.
    path : path-like
        A name ending in ``.gif``, ``.webp`` or ``.png`` (animated); an existing file is replaced.
    frames : int, optional
        Pictures of one turn.
    seconds : float, optional
        Time of one turn.
    progress : callable, optional
        Called with the share that is done, from 0 to 1, instead of a progress bar.
    **options
        Those of `volumes.render`; without ``axes``, whose ticks lie right for one direction of view.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If there is nothing to draw, no OpenGL on this machine, or fewer than two frames.
    StoreError
        If the file cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in _FORMATS or not target.parent.is_dir():
        raise StoreError(f"{target}: a film is a .gif, .webp or .png file in a folder that exists")
    if frames < 2 or not seconds > 0:
        raise DataError(f"a turn has two frames or more and takes some time; received {frames} and {seconds} s")
    beside = target.with_name(f".{target.stem}.part{target.suffix}")
    turned = list(_turned(ds, frames, progress, {**options, "axes": False, "off_screen": True}))
    try:
        turned[0].save(
            beside, save_all=True, append_images=turned[1:], duration=round(1000 * seconds / frames), loop=0
        )  # fmt: skip
        beside.replace(target)
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return target


def _turned(ds: xr.Dataset, frames: int, progress: Progress | None, options: dict[str, Any]) -> Iterator[Image]:
    """Draw the volume from all sides, the camera on a circle about the vertical through the middle."""
    from PIL import Image

    plotter = render(ds, **options)
    try:
        camera = plotter.camera
        middle = np.reshape(plotter.bounds, (3, 2)).mean(axis=1)
        position, focus, up = (np.asarray(v) for v in (camera.position, camera.focal_point, camera.up))
        with bar("turn", "frames", frames, progress) as to:
            for n in range(frames):
                turn = _about_z(2.0 * np.pi * n / frames)
                camera.position = middle + turn @ (position - middle)
                camera.focal_point, camera.up = middle + turn @ (focus - middle), turn @ up
                plotter.renderer.ResetCameraClippingRange()
                plotter.render()
                yield Image.fromarray(np.asarray(plotter.screenshot(return_img=True)))
                to(n + 1)
    finally:
        plotter.close()


def _about_z(angle: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
