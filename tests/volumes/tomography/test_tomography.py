"""Projections of a known volume are put back where they came from; the nanorod's views find their tomogram."""

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

import volumes
from fusion.errors import DataError
from volumes.tomography.orientation import orient

NANOROD = "correlative_edx_tomo/bispl_nanorod/"
STEP = 0.002
ANGLES = np.arange(0.0, 90.0, 10.0)


def blobs(size=40, seed=3):
    """Return a volume without symmetry: a rod along x with lumps."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((size,) * 3) - (size - 1) / 2
    rod = (np.hypot(z, y) < size / 4) & (np.abs(x) < size / 2.6)
    lumps = ndimage.gaussian_filter(rng.random((size,) * 3), 2.0)
    return np.where(rod, lumps - lumps.min(), 0.0).astype(np.float32)


def labelled(values, dims):
    coords = {dim: (dim, STEP * np.arange(n), {"units": "um"}) for dim, n in zip(dims, values.shape, strict=False)}
    return xr.DataArray(values, coords=coords, dims=dims, attrs={"cell_methods": "z: y: x: mean"})


def series(values, transposed=False, flipped=False):
    """Return the views (y, x, channel) of a volume that is turned about x: x along the rows, or the columns."""
    views = [ndimage.rotate(values, angle, axes=(0, 1), reshape=False, order=1).sum(0) for angle in ANGLES]
    stack = np.stack([view if transposed else view.T for view in views], axis=-1)
    turned = np.flip(stack, axis=1 if transposed else 0) if flipped else stack
    return labelled(turned.copy(), ("y", "x", "channel")).drop_vars("channel")


def seen_through(pose, volume, view):
    """Return the correlation of a view with the volume summed along the beam of a pose."""
    grid = np.stack(np.meshgrid(*(volume[dim].values for dim in "zyx"), indexing="ij"), axis=-1)
    places = pose.inverse()(grid.reshape(-1, 3))[:, 1:] / STEP
    rows, columns = np.rint(places - [float(view["y"][0]) / STEP, float(view["x"][0]) / STEP]).astype(int).T
    inside = (rows >= 0) & (rows < view.shape[0]) & (columns >= 0) & (columns < view.shape[1])
    image = np.zeros(view.shape)
    np.add.at(image, (rows[inside], columns[inside]), volume.values.ravel()[inside])
    smooth = [ndimage.gaussian_filter(values, 1.0).ravel() for values in (image, view.values)]
    return float(np.corrcoef(*smooth)[0, 1])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("order", [("z", "y", "x"), ("x", "z", "y"), ("y", "x", "z")])
def test_a_known_series_is_found_again(transposed, flipped, order):
    values = blobs()
    volume = labelled(values, order).transpose("z", "y", "x")
    views = series(values, transposed, flipped)
    found = orient(views, volume, bins=1)
    assert (found.tilt_axis, found.transposed, found.flipped) == (order[2], transposed, flipped)
    turned = np.unwrap(found.angles.values, period=360.0)
    np.testing.assert_allclose(np.abs(np.diff(turned)), 10.0, atol=0.5)
    for index in (0, 4, 8):
        assert seen_through(found.poses[index], volume, views.isel(channel=index)) > 0.98


def test_the_table_shows_a_clear_winner():
    values = blobs()
    found = orient(series(values), labelled(values, ("z", "y", "x")), bins=1)
    ranked = np.sort(found.table.values, axis=None)
    assert found.table.dims == ("tilt_axis", "transposed", "flipped")
    assert float(found.table.sel(tilt_axis="x", transposed=False, flipped=False)) == ranked[-1]
    assert ranked[-1] > 2 * ranked[-2]


def test_views_beside_the_tilt_axis_are_moved_back():
    values = blobs()
    volume, views = labelled(values, ("z", "y", "x")), series(values)
    moved = views.copy(data=np.roll(views.values, 3, axis=0))
    found = orient(moved, volume, bins=1)
    assert found.shift == (pytest.approx(3 * STEP, abs=0.2 * STEP), pytest.approx(0.0, abs=0.2 * STEP))
    assert seen_through(found.poses[4], volume, moved.isel(channel=4)) > 0.98


def test_wrong_input_is_refused():
    values = blobs(24)
    volume, views = labelled(values, ("z", "y", "x")), series(values)
    with pytest.raises(DataError, match="received dims"):
        orient(views.isel(channel=0), volume)
    with pytest.raises(DataError, match="received dims"):
        orient(views, views)
    with pytest.raises(DataError, match="three views at least"):
        orient(views.isel(channel=slice(2)), volume)
    with pytest.raises(DataError, match="one pixel size"):
        orient(views.assign_coords(x=views["x"] * 2), volume)


@pytest.fixture
def nanorod(measured):
    def read(name):
        is_views = "input" in name
        dims = ("y", "x", "channel") if is_views else ("z", "y", "x")
        ds = volumes.open(measured(f"{NANOROD}{name}.mat"), dims=dims, voxel=f"{1000 * STEP} nm")
        return ds["image"]

    return read


def test_the_nanorod_series_belongs_to_its_edx_tomogram(nanorod):
    views, volume = nanorod("STEM_EDX_input"), nanorod("Proposed_STEM_EDX_reconstruction")
    found = orient(views, volume)
    assert (found.tilt_axis, found.transposed, found.flipped) == ("x", False, False)
    assert found.angles.values.tolist() == list(range(180, 310, 10))
    ranked = np.sort(found.table.values, axis=None)
    assert ranked[-1] > 4 * ranked[-2]
    rod = volume.isel(z=slice(72, 184), y=slice(72, 184))
    assert seen_through(found.poses[0], rod, views.isel(channel=0)) > 0.96


def test_the_nanorod_haadf_alone_does_not_decide(nanorod):
    found = orient(nanorod("STEM_EDX_input"), nanorod("HAADF_STEM_ground_truth"))
    assert found.tilt_axis == "x"
    assert np.diff(np.sort(found.table.values, axis=None))[-1] < 0.05
