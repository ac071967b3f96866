"""Particles in volumes drawn on a finer grid: dense, uneven in light, dark, cut by the border, or not there."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

import volumes
from fusion import Affine, Axis, DataError, UnitError, dataset, set_pose
from fusion.frames import get_pose
from tests.makers.spheres import image_of, labelled, suspension
from volumes.points._sphere_kernels import draw
from volumes.points.sphere_profile import profile_table, sphere_profile

STEP, OFFSET = np.array([0.2, 0.1, 0.1]), np.array([3.0, -1.0, 0.5])
SHAPE = (22, 26, 30)


def places(points):
    return np.column_stack([points[dim].values for dim in "zyx"])


def drawn(seed, fraction, snr, spread=0.0, sigma=(0.12, 0.12)):
    """Return true places in um, radii, and an image of spheres of 0.4 um on voxels of 0.1 um, deep ones of 0.2 um."""
    fine = (2 * SHAPE[0], *SHAPE[1:])
    centres, radii = suspension(seed, fraction, fine, spread=spread)
    image = image_of(centres, radii, fine, (10 * sigma[0], 10 * sigma[1], 10 * sigma[1]))
    image = image.reshape(SHAPE[0], 2, *SHAPE[1:]).mean(axis=1)
    noise = np.random.default_rng(seed + 1).normal(scale=1.0 / snr, size=SHAPE)
    true = (centres - [0.5, 0.0, 0.0]) * 0.1 + OFFSET
    return true, radii * 0.1, image, noise


def paired(true, points, within=0.3):
    distance, index = cKDTree(true).query(places(points))
    return distance < within, index


@pytest.fixture(scope="module")
def dense():
    true, _, image, noise = drawn(0, 0.5, 8.0)
    return true, image + noise, volumes.find_particles(labelled(image + noise), "0.4 um", psf=(0.12, 0.12))


def test_dense_particles_are_all_found_once(dense):
    true, _, points = dense
    last = OFFSET + (np.array(SHAPE) - 1) * STEP
    inside = ((true > OFFSET) & (true < last)).all(axis=1)
    near, index = paired(true, points)
    assert set(np.flatnonzero(inside)) <= set(index[near])
    assert near.all()
    assert len(set(index)) == points.sizes["point"]
    np.testing.assert_allclose(points["radius"], 0.4, rtol=0.01)


def test_errors_are_those_that_are_made(dense):
    true, _, points = dense
    near, index = paired(true, points)
    kept = near & (points["at_edge"].values == 0)
    error = np.column_stack([points[f"{dim}_stderr"].values for dim in "zyx"])[kept]
    off = (places(points) - true[index])[kept]
    assert kept.sum() > 15
    assert 0.75 < (off / error).std() < 1.3
    assert off.std() < 0.012


def inside(points):
    return places(points)[points["at_edge"].values == 0]


def test_what_is_dark_is_found_as_what_is_bright(dense):
    _, image, _ = dense
    part = image[:12, :20, :20]
    bright = volumes.find_particles(labelled(part), "0.4 um", psf=(0.12, 0.12))
    dark = volumes.find_particles(labelled(7.0 - 3.0 * part), "0.4 um", psf=(0.12, 0.12), polarity="dark")
    distance, _ = cKDTree(places(dark)).query(inside(bright))
    assert distance.size
    assert distance.max() < 0.01
    assert (dark["brightness"] < 0).all()


def test_spheres_beyond_the_border_are_known_as_cut(dense):
    _, _, points = dense
    last = OFFSET + (np.array(SHAPE) - 1) * STEP
    at = places(points)
    cut = ((at < OFFSET + 0.39) | (at > last - 0.39)).any(axis=1)
    assert (points["at_edge"].values.astype(bool) >= cut).all()
    assert ((at < OFFSET) | (at > last)).any()
    np.testing.assert_allclose(points.attrs["volume"], [2.9, 7.3, -1.05, 1.55, 0.45, 3.45])


def test_uneven_light_and_a_wall_make_no_particles():
    true, _, image, noise = drawn(3, 0.3, 12.0)
    z, y = np.linspace(0, 1, SHAPE[0])[:, None, None], np.linspace(-1, 1, SHAPE[1])[:, None]
    wall = np.where(np.arange(SHAPE[0]) < 3, -1.5, 0.0)[:, None, None]
    image[:3] = 0.0
    lit = (1.0 - 0.5 * z) * (1.0 + 0.2 * y) * (image + 1.0) + wall + noise
    points = volumes.find_particles(labelled(lit), "0.4 um", psf=(0.12, 0.12))
    near, _ = cKDTree(true).query(inside(points))
    assert near[inside(points)[:, 0] > OFFSET[0] + 1.2].max() < 0.1
    last = OFFSET + (np.array(SHAPE) - 1) * STEP
    deep = ((true > OFFSET + np.array([1.2, 0.2, 0.2])) & (true < last - 0.2)).all(axis=1)
    assert cKDTree(places(points)).query(true[deep])[0].max() < 0.1


def test_radii_of_their_own_and_an_unknown_blur():
    true, radii, image, noise = drawn(5, 0.3, 20.0, spread=0.1)
    points = volumes.find_particles(labelled(image + noise), 0.38, polydisperse=True)
    near, index = paired(true, points)
    kept = near & (points["at_edge"].values == 0)
    off = points["radius"].values[kept] - radii[index[kept]]
    assert abs(off.mean()) < 0.01 * 0.4
    assert np.corrcoef(points["radius"].values[kept], radii[index[kept]])[0, 1] > 0.9
    assert points.attrs["psf_lateral"] == pytest.approx(0.12, rel=0.15)
    assert abs(points.attrs["residual_correlation"]) < 0.05


def test_an_empty_image_has_no_particles():
    noise = np.random.default_rng(6).normal(size=SHAPE)
    for image in (noise, np.zeros(SHAPE)):
        points = volumes.find_particles(labelled(image), "0.4 um", psf=(0.12, 0.12))
        assert points.sizes["point"] == 0


def test_voxels_without_values_do_not_count(dense):
    true, image, _ = dense
    holed = image[:14].copy()
    holed[:, 18:, :6] = np.nan
    found = inside(volumes.find_particles(labelled(holed), "0.4 um", psf=(0.12, 0.12)))
    far = (found[:, 1] < 0.4) | (found[:, 2] > 1.5)
    assert far.sum() > 5
    assert cKDTree(true).query(found[far])[0].max() < 0.06


def test_points_keep_the_pose_and_say_what_was_done(dense):
    _, image, _ = dense
    ds = set_pose(labelled(image[:8]), Affine.translation(x=2.0), "stage")
    points = volumes.find_particles(ds, "0.4 um", psf=(0.12, 0.12))
    assert get_pose(points)[1] == "stage"
    assert "volumes.find_particles(radius=" in points.attrs["history"]


def test_the_profile_is_the_blurred_sphere():
    """Against the sum over a fine grid of the Gaussian over the ball, along each axis of an uneven blur."""
    fine = np.arange(-60, 61) * 0.1
    z, y, x = np.meshgrid(fine, fine, fine, indexing="ij", sparse=True)
    ball = np.clip((3.0 - np.sqrt(z**2 + y**2 + x**2)) / 0.1 + 0.5, 0.0, 1.0)
    for at in ([0.0, 0.0], [0.0, 2.5], [3.5, 0.0], [2.0, 2.0]):
        kernel = np.exp(-0.5 * ((z - at[0]) / 1.5) ** 2 - 0.5 * ((y - at[1]) ** 2 + x**2) / 0.8**2)
        expected = (ball * kernel).sum() * 0.001 / ((2 * np.pi) ** 1.5 * 1.5 * 0.8**2)
        voxel = np.zeros((1, 1, 1))
        sphere = np.array([[at[0], at[1], 0.0, 1.0, 3.0]])
        draw(sphere, tuple(profile_table(2.7, 3.3, 1.5, 0.8)), np.ones(3), voxel)
        assert voxel.item() == pytest.approx(expected, abs=0.005)
    assert sphere_profile(3.0, 3.0, 0.01) == pytest.approx(0.5, abs=0.01)


def test_what_has_no_shape_or_size_is_refused():
    ds = labelled(np.random.default_rng(7).normal(size=(6, 7, 8)))
    with pytest.raises(DataError, match=r"a radius of 1\.5 voxels is too small"):
        volumes.find_particles(ds, "0.15 um")
    with pytest.raises(DataError, match=r"the point spread is longer along z"):
        volumes.find_particles(ds, "0.4 um", psf=(0.1, 0.2))
    with pytest.raises(DataError, match="polarity is one of bright, dark; received 'grey'"):
        volumes.find_particles(ds, "0.4 um", polarity="grey")
    with pytest.raises(DataError, match="one variable over z, y, x is needed"):
        volumes.find_particles(ds.isel(z=0), "0.4 um")
    with pytest.raises(DataError, match="not uniform"):
        volumes.find_particles(ds.isel(x=[0, 1, 2, 3, 4, 6]), "0.4 um")
    with pytest.warns(UserWarning, match=r"2 voxels: positions and radii may be biased"):
        volumes.find_particles(ds, "0.2 um")
    axes = {dim: Axis("px", 1.0) for dim in "zyx"}
    unknown = dataset({"image": (("z", "y", "x"), np.zeros((6, 7, 8)))}, axes, name="u", cell_methods="mean")
    with pytest.raises(UnitError, match="pixel size along z, y, x is not known"):
        volumes.find_particles(unknown, "0.4 um")
