"""The projector: exact shares, a matched pair, and the sense in which a voxel turns."""

import numpy as np
import pytest

from volumes.tomography.projector import Projector

ANGLES = np.array([-76.0, -45.0, -10.0, 0.0, 3.0, 30.0, 90.0])


@pytest.mark.parametrize("masked", [False, True])
def test_the_adjoint_is_the_transpose_of_the_projection(masked):
    rng = np.random.default_rng(0)
    seen = (rng.random((7, 15, 3)) > 0.3).astype(np.float32) if masked else None
    projector = Projector(ANGLES, 15, seen)
    planes, views = rng.normal(size=(15, 15, 3)).astype("f4"), rng.normal(size=(7, 15, 3)).astype("f4")
    there, back = np.sum(projector.forward(planes) * views), np.sum(planes * projector.adjoint(views))
    assert there == pytest.approx(back, rel=1e-4)


def test_a_voxel_is_seen_at_u_cos_t_minus_z_sin_t():
    planes = np.zeros((21, 21, 2), np.float32)
    planes[14, 8, 1] = 3.0
    views = Projector(ANGLES, 21).forward(planes)
    z, u = 14 - 10.0, 8 - 10.0
    expected = u * np.cos(np.deg2rad(ANGLES)) - z * np.sin(np.deg2rad(ANGLES)) + 10.0
    np.testing.assert_allclose(views[:, :, 1].sum(1), 3.0, rtol=1e-5)
    np.testing.assert_allclose(views[:, :, 1] @ np.arange(21) / 3.0, expected, atol=0.05)  # pixels
    assert views[:, :, 0].max() == 0.0


# A disc of radius r has the projection 2 sqrt(r² - s²) from every side.
@pytest.mark.parametrize("angle", [0.0, 20.0, 45.0])
def test_a_disc_casts_the_shadow_of_a_disc(angle):
    fine = (np.arange(65 * 8) - (65 * 8 - 1) / 2) / 8
    disc = (np.hypot(fine[:, None], fine) < 20.0).reshape(65, 8, 65, 8).mean((1, 3)).astype(np.float32)
    view = Projector(np.array([angle]), 65).forward(disc[..., None])[0, :, 0]
    s = np.arange(65) - 32.0
    np.testing.assert_allclose(view[16:49], 2 * np.sqrt(400.0 - s[16:49] ** 2), atol=0.35)


def test_the_norm_bounds_every_gain():
    projector = Projector(np.arange(-60.0, 61.0, 10.0), 20)
    rng = np.random.default_rng(1)
    planes = rng.random((20, 20, 50)).astype(np.float32)
    gains = np.sum(projector.forward(planes) ** 2, (0, 1)) / np.sum(planes**2, (0, 1))
    assert gains.max() < projector.norm < 20 * 13 * 1.3
