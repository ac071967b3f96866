"""Points in three dimensions: spheres of the size of the particles, or small ones where there is no size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr

from fusion.frames import get_pose
from volumes.drawing.overlay import POINT_COLOR, Points

if TYPE_CHECKING:
    import pyvista as pv

_SMALL: Final = 0.004
"""Radius of points that have none, as a share of the diagonal of the scene."""
_TRIANGLES: Final = 2_000_000
_RESOLUTIONS: Final = (24, 16, 10, 6)


def add_points(plotter: pv.Plotter, points: Points, ds: xr.Dataset, alpha: float) -> None:
    """Draw a sphere at each point, in the frame in which the dataset is drawn, finer where there are few."""
    import pyvista as pv

    cloud = pv.PolyData(get_pose(ds)[0](points.at)[:, ::-1])
    radius = np.nan if points.radius is None else points.radius
    cloud["radius"] = np.where(np.isfinite(radius), radius, _SMALL * float(plotter.length)) * np.ones(len(points.at))
    rings = next((n for n in _RESOLUTIONS if 2 * n * n * len(points.at) <= _TRIANGLES), _RESOLUTIONS[-1])
    ball = pv.Sphere(radius=1.0, theta_resolution=rings, phi_resolution=rings)
    spheres = cloud.glyph(scale="radius", orient=False, geom=ball, factor=1.0)
    plotter.add_mesh(spheres, color=POINT_COLOR, opacity=alpha, smooth_shading=True, specular=0.2)
