"""Several estimates of one transform: their weights, their agreement, and what is exact."""

import numpy as np
import pytest

import fusion
from fusion import Affine


def measured(truth: Affine, sigma: float, seed: int, count: int = 12) -> Affine:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-50.0, 50.0, (count, 3))
    picked = truth(points) + rng.normal(size=points.shape) * sigma
    return fusion.register_landmarks(points, picked, model="rigid", sigma=sigma, outliers="keep").transform


TRUTH = Affine.translation(3.0, -2.0, 5.0) @ Affine.rotation(40.0, axis=(1.0, 0.5, 0.2))
PROBE = np.array([[10.0, 20.0, -30.0]])


def test_two_sets_of_landmarks_are_as_good_as_all_of_them_at_once() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(-50.0, 50.0, (24, 3))
    sigma = np.repeat([0.05, 0.1], 12)
    picked = TRUTH(points) + rng.normal(size=points.shape) * sigma[:, None]
    parts = [
        fusion.register_landmarks(
            points[rows], picked[rows], model="rigid", sigma=sigma[rows], outliers="keep"
        ).transform
        for rows in (slice(0, 12), slice(12, 24))
    ]
    whole = fusion.register_landmarks(points, picked, model="rigid", sigma=sigma, outliers="keep").transform
    both = fusion.combine(*parts)
    np.testing.assert_allclose(both(PROBE), whole(PROBE), atol=2e-3)
    np.testing.assert_allclose(both.covariance_at(PROBE), whole.covariance_at(PROBE), rtol=0.02, atol=1e-6)
    np.testing.assert_allclose(fusion.combine(*parts[::-1])(PROBE), both(PROBE), atol=2e-3)
    np.testing.assert_allclose(both.scale, 1.0, atol=1e-9)


def test_what_is_exact_stays_and_decides() -> None:
    shift = np.zeros((12, 12))
    shift[3::4, 3::4] = 0.04 * np.eye(3)
    stage = Affine((Affine.translation(0.1, 0.0, 0.0) @ TRUTH).matrix, covariance=shift)
    both = fusion.combine(measured(TRUTH, 0.02, 2), stage)
    np.testing.assert_allclose(both.matrix[:3, :3], TRUTH.matrix[:3, :3], atol=1e-5)
    assert np.trace(both.covariance_at(PROBE)[0]) < np.trace(measured(TRUTH, 0.02, 2).covariance_at(PROBE)[0])


def test_a_contradiction_is_named_instead_of_averaged() -> None:
    """A stage and an image 100 nm apart: refused, unless the stage states an error of that size."""
    image = measured(TRUTH, 0.02, 3, 40)
    for repeatability, agrees in ((0.01, False), (0.1, True)):
        spread = np.zeros((12, 12))
        spread[3::4, 3::4] = repeatability**2 * np.eye(3)
        spread += np.asarray(image.covariance)
        stage = Affine((Affine.translation(0.0, 0.063, 0.078) @ TRUTH).matrix, covariance=spread)
        if agrees:
            assert fusion.combine(image, stage).covariance is not None
        else:
            with pytest.raises(fusion.RegistrationError, match=r"disagrees with those before it: chi-squared"):
                fusion.combine(image, stage)


def test_a_stage_enters_with_its_repeatability() -> None:
    """Repeated positions and rotations of a stage scatter as its pose says, and landmarks outweigh it."""
    rng, centre = np.random.default_rng(5), np.array([5.0, 40.0, -10.0])
    stage = TRUTH.with_repeatability(shift=2.0, turn=0.5, about=centre)
    landed = []
    for _ in range(400):
        turns = [Affine.rotation(rng.normal() * 0.5, axis=axis) for axis in np.eye(3)]
        about = Affine.translation(*TRUTH(centre))
        off = Affine.translation(*(rng.normal(size=3) * 2.0))
        landed.append((off @ about @ turns[0] @ turns[1] @ turns[2] @ about.inverse() @ TRUTH)(PROBE)[0])
    expected = stage.covariance_at(PROBE[0])
    np.testing.assert_allclose(np.cov(np.array(landed).T), expected, atol=0.2 * np.trace(expected))
    np.testing.assert_allclose(stage.covariance_at(centre), 4.0 * np.eye(3), atol=1e-9)
    marks = measured(TRUTH, 0.02, 6)
    both = fusion.combine(stage, marks)
    np.testing.assert_allclose(both(PROBE), marks(PROBE), atol=1e-3)
    for wrong in ({}, {"shift": -1.0}, {"turn": np.inf}):
        with pytest.raises(fusion.FrameError, match="a repeatability is positive"):
            TRUTH.with_repeatability(**wrong)


def test_what_is_unknown_or_alone_is_refused() -> None:
    with pytest.raises(fusion.RegistrationError, match="transform 1 has no covariance"):
        fusion.combine(measured(TRUTH, 0.1, 4), Affine(TRUTH.matrix))
    with pytest.raises(fusion.RegistrationError, match="at least two"):
        fusion.combine(TRUTH)
    with pytest.raises(fusion.RegistrationError, match="disagrees"):
        fusion.combine(Affine.translation(1.0), Affine.translation(2.0))
