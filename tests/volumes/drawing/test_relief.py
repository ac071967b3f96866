"""Heights as a relief: hills rise, whichever way y points, the ticks are those of the heights, gaps stay open."""

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import DataError
from volumes.drawing.options import Options
from volumes.drawing.relief import draped, relief_of

pytestmark = pytest.mark.usefixtures("drawing")
OPTIONS = Options(style="relief")


def surface(direction, top=0.2):
    """Return 20 x 30 pixels of 1 um with one hill near the corner of the first row and the first column."""
    height = np.zeros((20, 30))
    height[3:6, 4:7] = top
    axes = {"y": fusion.Axis("um", 1.0, direction=direction), "x": fusion.Axis("um", 1.0)}
    return fusion.dataset({"height": (("y", "x"), height, {"units": "um"})}, axes, name="hill", cell_methods="point")


@pytest.mark.parametrize(("direction", "sign"), [("up", 1.0), ("down", -1.0)])
def test_heights_rise_towards_the_eye(direction, sign):
    ds = surface(direction)
    relief = relief_of(ds, OPTIONS)
    assert relief.stretch == sign * 20.0  # 0.2 um to a quarter of 29 um is 36: the round number below
    mesh = draped(ds, relief)
    np.testing.assert_allclose(mesh.points[:, 2].reshape(20, 30), relief.stretch * ds["height"])
    plotter = volumes.render(ds, style="relief", off_screen=True, window_size=(400, 300))
    try:
        camera, top = plotter.camera, np.array([5.0, 4.0, relief.stretch * 0.2])
        foot = top * [1.0, 1.0, 0.0]
        assert (top - foot) @ np.asarray(camera.up) > 0.0
        assert np.cross(camera.direction, camera.up)[0] > 0.0  # x runs to the right
        assert sign * np.asarray(camera.up)[1] > 0.0  # the last row lies behind or in front
    finally:
        plotter.close()


def test_where_no_height_is_known_the_relief_is_open():
    ds = surface("up")
    ds["height"][10:, 20:] = np.nan
    mesh = draped(ds, relief_of(ds, OPTIONS))
    whole = draped(surface("up"), relief_of(surface("up"), OPTIONS))
    assert whole.n_cells - mesh.n_cells == 10 * 10
    assert np.isfinite(mesh.points).all()


def test_another_map_is_draped_over_it():
    ds, left = surface("up"), np.zeros((20, 30, 1))
    left[:, :15] = 1.0
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0), "component": ["iron"]}
    over = fusion.dataset({"abundance": (("y", "x", "component"), left)}, axes, name="map", cell_methods="mean",
                          frame=ds["pose"].attrs["frame"])  # fmt: skip
    plotter = volumes.render(ds, style="relief", overlay=over, off_screen=True, axes=False, scale_bar=False,
                             window_size=(400, 300))  # fmt: skip
    try:
        pixels = plotter.screenshot(None, return_img=True).astype(int)[60:]
    finally:
        plotter.close()
    coloured = np.nonzero(pixels[..., 0] > pixels[..., 2] + 60)
    assert coloured[0].size > 2000
    assert coloured[1].mean() < 170  # the left half, in a picture of 400 pixels


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        ({"height": None}, {}, "a variable 'height' over y and x"),
        ({}, {"in_frame": True}, "leave out in_frame="),
        ({}, {"style": "slices", "exaggeration": 2.0}, "needs style='relief'"),
    ],
)
def test_what_is_no_relief(change, options, reason):
    ds = surface("up")
    ds = ds.rename(height="phase") if "height" in change else ds
    with pytest.raises(DataError, match=reason):
        relief_of(ds, Options(**{"style": "relief", **options}))
    with pytest.raises(DataError, match="no height is finite"):
        relief_of(surface("up", top=np.nan) * np.nan, OPTIONS)


def test_a_level_surface_and_a_steep_one_are_as_they_are():
    assert [abs(relief_of(surface("up", top), OPTIONS).stretch) for top in (0.0, 40.0)] == [1.0, 1.0]
