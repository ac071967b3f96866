"""Landmark registration against known transforms, Monte Carlo, and the closed formula of the literature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusion
from fusion.registration.landmarks import register_landmarks
from fusion.registration.result import Model

GENERAL = fusion.Affine.translation(1.0, -2.0, 3.0) @ fusion.Affine.rotation(37.0, axis=(1.0, 0.2, -0.4))
TRUTHS: dict[Model, fusion.Affine] = {
    "rigid": GENERAL,
    "similarity": GENERAL @ fusion.Affine.scaling(1.7, 1.7, 1.7),
    "affine": GENERAL @ fusion.Affine.scaling(1.0, 2.0, 0.5),
}


def scatter(seed: int, count: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)) * [2.0, 10.0, 10.0] + [5.0, 100.0, -30.0]


@pytest.mark.parametrize("model", TRUTHS)
def test_exact_landmarks_give_the_exact_transform(model: Model) -> None:
    points = scatter(0)
    found = register_landmarks(points, TRUTHS[model](points), model=model)
    np.testing.assert_allclose(found.transform.matrix, TRUTHS[model].matrix, atol=1e-11)
    assert found.rms < 1e-11


@settings(max_examples=50, deadline=None)
@given(
    angle=st.floats(-179, 179),
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1),
    shift=st.tuples(*[st.floats(-1e4, 1e4)] * 3),
    scale=st.floats(1e-3, 1e3),
)
def test_any_similarity_is_recovered(angle: float, axis: tuple, shift: tuple, scale: float) -> None:
    truth = fusion.Affine.translation(*shift) @ fusion.Affine.rotation(angle, axis=axis)
    truth = truth @ fusion.Affine.scaling(scale, scale, scale)
    points = scatter(1)
    found = register_landmarks(points, truth(points), model="similarity")
    np.testing.assert_allclose(found.transform(points), truth(points), atol=1e-9 * (1 + np.abs(truth(points)).max()))


@pytest.mark.parametrize("model", TRUTHS)
def test_covariance_is_that_of_repeated_picking(model: Model) -> None:
    rng, points, sigma = np.random.default_rng(2), scatter(2, 6), 0.05
    exact = TRUTHS[model](points)
    draws = [
        register_landmarks(points, exact + rng.normal(size=exact.shape) * sigma, model=model, sigma=sigma).transform
        for _ in range(600)
    ]
    probe = np.array([[9.0, 80.0, -10.0], [0.0, 140.0, 0.0]])
    landed = np.array([draw(probe) for draw in draws])
    for index in range(len(probe)):
        expected = draws[0].covariance_at(probe[index])
        measured = np.cov(landed[:, index].T)
        np.testing.assert_allclose(measured, expected, atol=0.25 * np.trace(expected))


def test_unequal_errors_are_weighted_exactly() -> None:
    """A landmark that is blind along z must not tilt the result, and the others must decide."""
    points = scatter(3)
    target = GENERAL(points)
    target[0, 0] += 50.0
    sigma = np.full(points.shape, 0.01)
    sigma[0, 0] = 1e6
    found = register_landmarks(points, target, model="rigid", sigma=sigma)
    np.testing.assert_allclose(found.transform.matrix, GENERAL.matrix, atol=1e-6)
    wrong = register_landmarks(points, target, model="rigid")
    assert np.abs(wrong.transform.matrix - GENERAL.matrix).max() > 0.01


def test_target_error_equals_the_published_formula() -> None:
    """Fitzpatrick, West and Maurer 1998: TRE^2 = FLE^2 / N (1 + 1/3 sum d_k^2 / f_k^2)."""
    points, sigma = scatter(4, 10), 0.2
    found = register_landmarks(points, GENERAL(points), model="rigid", sigma=sigma)
    centred = points - points.mean(axis=0)
    principal = np.linalg.eigh(centred.T @ centred)[1]
    target = np.array([20.0, 130.0, 10.0])
    along, probe = centred @ principal, (target - points.mean(axis=0)) @ principal
    distance = (probe**2).sum() - probe**2
    spread = ((along**2).sum(axis=1)[:, None] - along**2).mean(axis=0)
    expected = np.sqrt(3 * sigma**2 / 10 * (1 + (distance / spread).sum() / 3))
    np.testing.assert_allclose(found.tre(target[None]).values, expected, rtol=1e-9)


def test_two_columns_fit_within_the_plane() -> None:
    truth = fusion.Affine.translation(0.0, 1.0, 2.0) @ fusion.Affine.rotation(30.0)
    points = scatter(5)[:, 1:]
    flat = np.pad(points, ((0, 0), (1, 0)))
    for model in TRUTHS:
        found = register_landmarks(points, truth(flat)[:, 1:], model=model, sigma=0.1)
        np.testing.assert_allclose(found.transform.matrix, truth.matrix, atol=1e-10)
        assert found.transform.covariance_at([0.0, 0.0, 0.0])[0, 0] == 0.0


def test_error_of_the_landmarks_is_estimated_where_they_are_redundant() -> None:
    rng, points = np.random.default_rng(60), scatter(6, 400)
    found = register_landmarks(points, GENERAL(points) + rng.normal(size=points.shape) * 0.3, model="rigid")
    assert found.sigma == pytest.approx(0.3, rel=0.1)
    exact = register_landmarks(points[:4], GENERAL(points[:4]) + 0.01, model="affine")
    assert exact.sigma is None
    with pytest.raises(fusion.FrameError, match="sigma"):
        exact.tre(points[:1])


LINE = np.stack([np.zeros(5), np.zeros(5), np.arange(5.0)], axis=1)
PLANE = scatter(7) * [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("model", "moving", "fixed", "message"),
    [
        ("rigid", scatter(8)[:2], scatter(8)[:2], "at least 3"),
        ("affine", scatter(8)[:3], scatter(8)[:3], "at least 4"),
        ("rigid", LINE, LINE, "one line"),
        ("affine", PLANE, PLANE, "plane"),
        ("rigid", LINE * 0, LINE * 0, "coincide"),
        ("similarity", LINE * 0, LINE * 0, "coincide"),
        ("rigid", scatter(8), scatter(8) * [1, 1, -1], "mirrored"),
        ("similarity", scatter(8)[:, 1:], scatter(8)[:, 1:] * [1, -2], "mirrored"),
        ("rigid", scatter(8), scatter(8)[:5], "pairs"),
        ("rigid", scatter(8), scatter(8) * np.nan, "not finite"),
        ("rigid", np.zeros(3), np.zeros(3), r"\(n, 3\)"),
        ("tps", scatter(8), scatter(8), "accepted are rigid, similarity, affine"),
    ],
)
def test_ill_posed_landmarks_are_refused(model: Model, moving: np.ndarray, fixed: np.ndarray, message: str) -> None:
    with pytest.raises(fusion.RegistrationError, match=message):
        register_landmarks(moving, fixed, model=model)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, np.ones(3)])
def test_senseless_sigma_is_refused(sigma: object) -> None:
    with pytest.raises(fusion.RegistrationError, match="sigma"):
        register_landmarks(scatter(9), scatter(9), model="rigid", sigma=sigma)  # type: ignore[arg-type]
