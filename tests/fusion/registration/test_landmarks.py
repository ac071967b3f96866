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
        register_landmarks(
            points, exact + rng.normal(size=exact.shape) * sigma, model=model, sigma=sigma, outliers="keep"
        ).transform
        for _ in range(300)
    ]
    probe = np.array([[9.0, 80.0, -10.0], [0.0, 140.0, 0.0]])
    landed = np.array([draw(probe) for draw in draws])
    for index in range(len(probe)):
        expected = draws[0].covariance_at(probe[index])
        measured = np.cov(landed[:, index].T)
        np.testing.assert_allclose(measured, expected, atol=0.3 * np.trace(expected))


def test_unequal_errors_are_weighted_exactly() -> None:
    """A landmark that is blind along z must not tilt the result, and the others must decide."""
    points = scatter(3)
    target = GENERAL(points)
    target[0, 0] += 50.0
    sigma = np.full(points.shape, 0.01)
    sigma[0, 0] = 1e6
    found = register_landmarks(points, target, model="rigid", sigma=sigma)
    np.testing.assert_allclose(found.transform.matrix, GENERAL.matrix, atol=1e-6)
    with pytest.raises(fusion.RegistrationError, match=r"too far from where the others place them: 0 \(50 um\)"):
        register_landmarks(points, target, model="rigid")
    wrong = register_landmarks(points, target, model="rigid", outliers="keep")
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
        ("rigid", LINE * 0, LINE, "moving: all landmarks coincide"),
        ("rigid", scatter(8), scatter(8) * 0, "fixed: all landmarks coincide"),
        ("similarity", LINE * 0, LINE * 0, "coincide"),
        ("rigid", scatter(8), scatter(8) * [1, 1, -1], "mirrored"),
        ("similarity", scatter(8)[:, 1:], scatter(8)[:, 1:] * [1, -2], "mirrored"),
        ("rigid", scatter(8), scatter(8)[:5], "received 8 moving and 5 fixed"),
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


def quality(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return landmarks in a cube of 100 um, and where a tilt of 54 degrees takes them."""
    points = np.random.default_rng(seed).uniform(-50.0, 50.0, (count, 3))
    return points, TILT(points)


TILT = fusion.Affine.translation(5.0, -20.0, 10.0) @ fusion.Affine.rotation(54.0, axis=(0.0, 0.0, 1.0))


def test_errors_of_the_moving_side_turn_with_the_transform() -> None:
    """Ten times the error along z of the moving side lies along another axis after a tilt of 54 degrees."""
    rng, spread, target = np.random.default_rng(11), np.array([[5.0, 0.5, 0.5]]), np.array([[40.0, 40.0, -40.0]])
    points, landed = quality(8, 12)
    held = {"both sides": 0, "as if fixed": 0}
    for _ in range(150):
        moving = points + rng.normal(size=points.shape) * spread
        right = register_landmarks(moving, landed, model="rigid", sigma_moving=spread, outliers="keep")
        naive = register_landmarks(moving, landed, model="rigid", sigma=spread, outliers="keep")
        held["both sides"] += int(right.holds(target, TILT(target))[0])
        held["as if fixed"] += int(naive.holds(target, TILT(target))[0])
    assert held["both sides"] >= 135
    assert held["as if fixed"] < 120


def test_one_error_may_be_said_of_either_side_of_a_rigid_transform() -> None:
    points, landed = quality(7, 13)
    landed = landed + np.random.default_rng(14).normal(size=landed.shape)
    turn = TILT.matrix[:3, :3]
    own = np.array([np.diag([1.0, 2.0, 3.0 + n]) for n in range(7)])
    one = register_landmarks(points, landed, model="rigid", sigma_moving=own)
    # the rotation that is fitted is not quite the true one, which the covariance is turned by here
    other = register_landmarks(points, landed, model="rigid", sigma_fixed=turn @ own @ turn.T)
    np.testing.assert_allclose(one.transform.matrix, other.transform.matrix, atol=0.05)
    np.testing.assert_allclose(one.chi2, other.chi2, rtol=0.1)


def test_the_fit_is_a_minimum_of_chi_squared() -> None:
    """No neighbouring rotation, shift or scale does better, with the covariances turned along."""
    points, landed = quality(9, 15)
    rng = np.random.default_rng(16)
    sigma = rng.uniform(2.0, 8.0, (9, 3))
    moving = points + rng.normal(size=points.shape) * sigma
    result = register_landmarks(moving, landed, model="similarity", sigma_moving=sigma, sigma_fixed=1.0)

    def chi2(transform: fusion.Affine) -> float:
        linear = transform.matrix[:3, :3]
        spread = np.eye(3) + linear @ (sigma[:, :, None] ** 2 * np.eye(3)) @ linear.T
        miss = landed - transform(moving)
        return float((miss * np.linalg.solve(spread, miss[..., None])[..., 0]).sum())

    assert chi2(result.transform) == pytest.approx(result.chi2, rel=1e-9)
    centre = result.transform(moving).mean(axis=0)
    about = fusion.Affine.translation(*centre)
    for size in (-1e-3, 1e-3):
        for step in (
            fusion.Affine.rotation(np.rad2deg(size)), fusion.Affine.rotation(np.rad2deg(size), axis=(0, 1, 1)),
            fusion.Affine.scaling(1 + size, 1 + size, 1 + size), fusion.Affine.translation(y=100 * size),
        ):  # fmt: skip
            assert chi2(about @ step @ about.inverse() @ result.transform) > result.chi2


def test_an_estimated_error_has_its_degrees_of_freedom() -> None:
    """Three landmarks: 95 % by Student's t, far less by the normal distribution."""
    rng, target = np.random.default_rng(17), np.array([[10.0, 20.0, -10.0]])
    points, landed = quality(3, 18)
    held = {"t": 0.0, "normal": 0.0}
    for _ in range(200):
        result = register_landmarks(points, landed + rng.normal(size=landed.shape), model="rigid", outliers="keep")
        miss = np.abs(result.transform(target) - TILT(target))[0]
        held["t"] += float((miss <= result.interval(target).values[0]).mean())
        held["normal"] += float((miss <= 1.96 * np.sqrt(np.diag(result.transform.covariance_at(target[0])))).mean())
    assert (result.dof, round(result.transform.dof, 9)) == (3, 3)
    assert 0.91 < held["t"] / 200 < 0.985
    assert held["normal"] / 200 < 0.9
    assert result.transform.widening == pytest.approx(3.182 / 1.96, rel=1e-3)


def test_perfect_pairs_have_the_error_of_their_rounding() -> None:
    points = np.array([[0.0, 0.0], [40.0, 3.0], [7.0, 31.0]])
    result = register_landmarks(points, points + np.array([5.0, 2.0]), model="rigid")
    assert result.sigma == pytest.approx(np.sqrt(2.0 / 12.0), rel=1e-6)
    tenths = register_landmarks(points + 0.1, points, model="rigid")
    assert tenths.sigma == pytest.approx(np.sqrt(1.01 / 12.0), rel=1e-6)


def test_points_have_as_many_columns_as_landmarks() -> None:
    points, landed = quality(6, 19)
    flat = register_landmarks(points[:, 1:], points[:, 1:] + 1.0, model="rigid", sigma=0.1)
    np.testing.assert_array_equal(flat.tre([[1.0, 2.0]]), flat.tre([[0.0, 1.0, 2.0]]))
    assert flat.interval([[1.0, 2.0]]).values[0, 0] == 0.0
    assert float(flat.tre([[1.0, 2.0]], level=0.95)[0]) > 1.9 * float(flat.interval([[1.0, 2.0]], level=0.68).max())
    solid = register_landmarks(points, landed, model="rigid", sigma=0.1)
    with pytest.raises(fusion.RegistrationError, match="two columns, the landmarks had three"):
        solid.tre([[1.0, 2.0]])


def test_landmarks_of_a_section_place_it_in_a_volume() -> None:
    rng, flat = np.random.default_rng(20), np.random.default_rng(21).uniform(-50, 50, (9, 2))
    landed = TILT(np.pad(flat, ((0, 0), (1, 0)))) + rng.normal(size=(9, 3)) * 0.2
    result = register_landmarks(flat, landed, model="rigid", sigma_moving=0.1, sigma_fixed=0.2)
    np.testing.assert_allclose(result.transform.matrix, TILT.matrix, atol=0.3)
    assert result.holds([[10.0, -5.0]], TILT([[0.0, 10.0, -5.0]])).all()
    with pytest.raises(fusion.RegistrationError, match="exchange the two"):
        register_landmarks(landed, flat, model="rigid")
    with pytest.raises(fusion.RegistrationError, match="sigma_fixed="):
        register_landmarks(flat, landed, model="rigid", sigma_moving=0.1)


@pytest.mark.parametrize("model", TRUTHS)
def test_the_transform_is_that_of_simpleitk(model: Model) -> None:
    import SimpleITK

    points, landed = quality(8, 22)
    noise = np.random.default_rng(23).normal(size=landed.shape)
    # with noise the scale of ITK is that of the sizes (Horn), not that of least squares
    landed = 1.3 * landed if model == "similarity" else landed + noise
    kinds = {"rigid": SimpleITK.VersorRigid3DTransform, "similarity": SimpleITK.Similarity3DTransform}
    transform = kinds[model]() if model in kinds else SimpleITK.AffineTransform(3)
    # ITK's transforms are of (x, y, z) and lead from fixed to moving
    lists = [points[:, ::-1].ravel().tolist(), landed[:, ::-1].ravel().tolist()]
    theirs = SimpleITK.LandmarkBasedTransformInitializer(transform, *lists)
    ours = register_landmarks(points, landed, model=model).transform
    mapped = np.array([theirs.TransformPoint(point[::-1].tolist())[::-1] for point in points])
    np.testing.assert_allclose(ours(points), mapped, atol=1e-6)


def test_a_noisy_similarity_is_that_of_least_squares() -> None:
    from scipy.spatial.transform import Rotation

    points, landed = quality(9, 33)
    landed = 1.3 * landed + np.random.default_rng(34).normal(size=landed.shape)
    start, end = points - points.mean(axis=0), landed - landed.mean(axis=0)
    turned = start @ Rotation.align_vectors(end, start)[0].as_matrix().T
    scaled = turned * (turned * end).sum() / (turned**2).sum()
    ours = register_landmarks(points, landed, model="similarity").transform
    np.testing.assert_allclose(ours(points), scaled + landed.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(("model", "dim"), [("rigid", 3), ("similarity", 3), ("affine", 2), ("affine", 3)])
@pytest.mark.parametrize("known", [True, False])
def test_landmarks_on_a_line_within_their_error_are_refused(model: Model, dim: int, known: bool) -> None:
    """Their noise spreads them across the line, and would pass for a turn about it."""
    for seed in range(20):
        rng = np.random.default_rng([35, seed])
        line = rng.uniform(-50.0, 50.0, (12, 1)) * np.ones(dim) / np.sqrt(dim)
        moving, fixed = (line + rng.normal(size=line.shape) for _ in range(2))
        sigma = {"sigma_moving": 1.0, "sigma_fixed": 1.0} if known else {}
        with pytest.raises(fusion.RegistrationError):
            register_landmarks(moving, fixed, model=model, **sigma)


def exchanged(fixed: np.ndarray) -> np.ndarray:
    return fixed[[1, 0, *range(2, len(fixed))]]


WRONG = {
    "exchanged: 0 with 1": exchanged,
    "fixed: landmarks 0 and 8 are the same point": lambda fixed: np.concatenate([fixed[:-1], fixed[:1]]),
    "in different orders": lambda fixed: np.roll(fixed, 1, axis=0),
    "mirrored": lambda fixed: fixed * [1, 1, -1],
    "fixed: all landmarks coincide": lambda fixed: fixed * 0.0 + 1.0,
    "too far from where the others place them: 4": lambda fixed: fixed + np.eye(9)[:, [4]] * [0.0, 30.0, 0.0],
}


@pytest.mark.parametrize("sigma", [0.5, None])
@pytest.mark.parametrize("model", TRUTHS)
@pytest.mark.parametrize("message", WRONG)
def test_wrong_pairs_are_named(message: str, model: Model, sigma: float | None) -> None:
    points = np.random.default_rng(24).uniform(-50.0, 50.0, (9, 3))
    fixed = TRUTHS[model](points) + np.random.default_rng(25).normal(size=points.shape) * 0.4
    register_landmarks(points, fixed, model=model, sigma=sigma)
    with pytest.raises(fusion.RegistrationError, match=message):
        register_landmarks(points, WRONG[message](fixed), model=model, sigma=sigma)


def test_wrong_pairs_are_dropped_or_kept_on_demand() -> None:
    points, landed = quality(10, 26)
    landed = landed + np.random.default_rng(27).normal(size=landed.shape) * 0.3
    wrong = exchanged(landed)
    dropped = register_landmarks(points, wrong, model="rigid", sigma=0.3, outliers="drop")
    assert dropped.kept.values.tolist() == [False, False, *[True] * 8]
    assert np.isnan(dropped.left_out["p"][:2]).all()
    assert np.linalg.norm(dropped.residuals[0]) > 10.0
    np.testing.assert_allclose(dropped.transform.matrix, TILT.matrix, atol=0.5)
    kept = register_landmarks(points, wrong, model="rigid", sigma=0.3, outliers="keep")
    assert kept.kept.all()
    assert kept.p < 1e-6
    assert set(np.argsort(kept.left_out["p"].values)[:2]) <= {0, 1}


def test_a_sigma_that_is_far_too_small_is_refused() -> None:
    points, landed = quality(12, 28)
    landed = landed + np.random.default_rng(29).normal(size=landed.shape)
    with pytest.raises(fusion.RegistrationError, match=r"scatter .* times as far as sigma says|no majority"):
        register_landmarks(points, landed, model="rigid", sigma=0.2)


def test_landmarks_near_a_line_are_refused_against_their_error() -> None:
    rng = np.random.default_rng(30)
    points = np.outer(np.linspace(0.0, 100.0, 6), [0.0, 0.0, 1.0]) + rng.normal(size=(6, 3)) * 0.3
    fixed = TILT(points)
    assert register_landmarks(points, fixed, model="rigid", sigma=0.01).rms < 1e-9
    with pytest.raises(fusion.RegistrationError, match="too near to one line"):
        register_landmarks(points, fixed, model="rigid", sigma=1.0)


def test_leaving_a_pair_out_is_what_a_fit_without_it_says() -> None:
    points, landed = quality(7, 31)
    landed = landed + np.random.default_rng(32).normal(size=landed.shape) * 0.2
    every = register_landmarks(points, landed, model="affine", sigma=0.2)
    for row in range(7):
        rest = register_landmarks(np.delete(points, row, 0), np.delete(landed, row, 0), model="affine", sigma=0.2)
        distance = np.linalg.norm(rest.transform(points[row]) - landed[row])
        assert float(every.left_out["distance"][row]) == pytest.approx(distance, rel=1e-6)


@pytest.mark.parametrize("model", ["rigid", "affine", "warp"])
def test_errors_known_up_to_a_factor_are_scaled_by_the_residuals(model: str) -> None:
    rng = np.random.default_rng(2)
    moving = rng.uniform(0.0, 10.0, (20, 2))
    sigma = rng.uniform(0.02, 0.1, 20)
    fixed = moving + sigma[:, None] * rng.normal(size=(20, 2))
    found = [
        fusion.register_landmarks(moving, fixed, model=model, sigma=factor * sigma, absolute_sigma=False)
        for factor in (1.0, 30.0)
    ]
    known = fusion.register_landmarks(moving, fixed, model=model, sigma=sigma)
    at = np.array([0.0, 5.0, 5.0])
    spread = [one.transform.covariance_at(at)[1:, 1:] for one in (*found, known)]
    np.testing.assert_allclose(spread[1], spread[0], rtol=1e-6, atol=1e-12)
    assert found[1].sigma == pytest.approx(found[0].sigma)
    assert 0.5 < np.trace(spread[0]) / np.trace(spread[2]) < 2.0
    assert np.isfinite(found[0].dof)
