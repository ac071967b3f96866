"""Smooth warps: a process through landmarks, its derivative, inverse, error, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Warp
from fusion.registration.result import Registration

TURN = Affine.translation(100.0, -40.0, 7.0) @ Affine.rotation(30.0, axis=(1.0, 0.3, -0.2))


def bent(points: np.ndarray) -> np.ndarray:
    """Bend space by some 4 um over a cube of 100 um, after a turn."""
    swing = 4.0 * np.sin(points[..., [1, 2, 0]] / 35.0 + [0.3, 1.0, 2.0])
    return TURN(points + swing)


def landmarks(seed: int, count: int = 40, dim: int = 3, sigma: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-50.0, 50.0, (count, 3)) * [dim == 3, 1, 1]
    noise = rng.normal(size=points.shape) * sigma
    landed = bent(points) if dim == 3 else points + 4.0 * np.sin(points[:, [0, 2, 1]] / 35.0)
    return points[:, 3 - dim :], (landed + noise)[:, 3 - dim :]


def warp(seed: int = 0, dim: int = 3) -> Registration[Warp]:
    return fusion.register_landmarks(*landmarks(seed, dim=dim), model="warp", sigma=0.3)


def inner(seed: int, count: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-22.0, 22.0, (count, 3))


def test_a_warp_follows_a_bend_that_an_affine_transform_cannot() -> None:
    points, landed = landmarks(1)
    narrow = fusion.register_landmarks(points, landed, model="affine", sigma=0.3, outliers="keep")
    wide = warp(1)
    probe = inner(2)
    miss = np.linalg.norm(wide.transform(probe) - bent(probe), axis=1)
    assert np.sqrt((miss**2).mean()) < 0.35 * np.linalg.norm(narrow.transform(probe) - bent(probe), axis=1).mean()
    assert wide.holds(probe, bent(probe)).mean() >= 0.85
    assert (wide.dof, wide.model, wide.sigma) == (np.inf, "warp", pytest.approx(0.3))


def test_the_process_is_that_of_gaussian_regression_by_hand() -> None:
    """One kernel, against the textbook's equations in which the drift has a very wide prior."""
    found = warp(3, dim=2).transform
    process = found.steps[0].process
    kernel = process.kernels[0]
    at = np.array([[3.0, -8.0], [20.0, 11.0]])
    everything = np.concatenate([process.moving, at])
    scaled = np.sqrt(5.0) * np.linalg.norm(everything[:, None] - everything, axis=2) / kernel.length
    prior = kernel.amplitude**2 * (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    drift = np.column_stack([everything - process.moving.mean(axis=0), np.full(len(everything), 30.0)])
    prior = prior + 10.0 * drift @ drift.T
    n = len(process.moving)
    known = prior[:n, :n] + 0.3**2 * np.eye(n)
    gain = prior[n:, :n] @ np.linalg.inv(known)
    mean = gain @ process.fixed
    variance = prior[n:, n:] - gain @ prior[:n, n:]
    from fusion.kriging import System

    system = System(process, kernel)
    np.testing.assert_allclose(system.landed(at), mean, atol=1e-3)
    np.testing.assert_allclose(system.spread(at)[:, 0, 0], np.diag(variance), rtol=1e-3)
    np.testing.assert_allclose(system.spread(at)[:, 0, 1], 0.0, atol=1e-9)


@pytest.mark.parametrize("dim", [2, 3])
def test_jacobian_is_the_derivative(dim: int) -> None:
    chain = TURN @ warp(4, dim).transform @ TURN.inverse()
    for transform in (chain, chain.inverse(), TURN):
        probe = TURN(inner(5)) if transform is not chain.inverse() else chain(TURN(inner(5)))
        steps = 1e-4 * np.eye(3)
        slopes = [(transform(probe + step) - transform(probe - step)) / 2e-4 for step in steps]
        np.testing.assert_allclose(transform.jacobian(probe), np.stack(slopes, axis=-1), atol=1e-6)


@pytest.mark.parametrize("dim", [2, 3])
def test_inverse_and_composition(dim: int) -> None:
    found = warp(6, dim).transform
    probe = inner(7)
    np.testing.assert_allclose(found.inverse()(found(probe)), probe, atol=1e-8)
    np.testing.assert_allclose(found(found.inverse()(found(probe))), found(probe), atol=1e-8)
    chain = TURN @ found @ Affine.scaling(1.0, 1.0, 1.0)
    np.testing.assert_allclose(chain(probe), TURN(found(probe)), atol=1e-10)
    np.testing.assert_allclose((found @ TURN)(probe), found(TURN(probe)), atol=1e-10)
    np.testing.assert_allclose((found @ found)(probe), found(found(probe)), atol=1e-10)
    assert len((TURN @ (TURN @ found)).steps) == 2
    if dim == 2:
        np.testing.assert_array_equal(found(probe)[:, 0], probe[:, 0])


def test_the_error_travels_through_composition_and_inverse() -> None:
    found = warp(8).transform
    probe = inner(9, 6)
    own = found.covariance_at(probe)
    turn = TURN.matrix[:3, :3]
    np.testing.assert_allclose((TURN @ found).covariance_at(probe), turn @ own @ turn.T, rtol=1e-9)
    back = np.linalg.inv(found.jacobian(probe))
    there = found(probe)
    np.testing.assert_allclose(found.inverse().covariance_at(there), back @ own @ back.swapaxes(1, 2), rtol=1e-6)
    with pytest.raises(fusion.FrameError, match="no covariance"):
        (Affine(TURN.matrix) @ found).covariance_at(probe)
    assert not (Affine(TURN.matrix) @ found).is_uncertain


def test_outside_the_hull_the_error_is_unknown_unless_asked() -> None:
    result = warp(10)
    far = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 90.0]])
    error = result.tre(far).values
    assert np.isfinite(error[0])
    assert np.isnan(error[1])
    assert np.isnan(result.interval(far).values[1]).all()
    asked = result.transform.covariance_at(far, outside=True)
    assert np.trace(asked[1]) > 4.0 * np.trace(asked[0])
    assert np.isfinite(result.transform(far)).all()


def test_repeated_picking_scatters_as_the_covariance_says() -> None:
    """The truth is a draw of a process; the map through it misses by what it expects."""
    squares = []
    for seed in range(40):
        rng = np.random.default_rng([11, seed])
        points = rng.uniform(-50.0, 50.0, (20, 2))
        probe = rng.uniform(-20.0, 20.0, (5, 2))
        waves, phases = rng.normal(size=(50, 2)) / 40.0, rng.uniform(0.0, 6.28, 50)
        heights = rng.normal(size=(50, 2))
        landed, truth = (p + np.cos(p @ waves.T + phases) @ heights for p in (points, probe))
        sigma = rng.uniform(0.5, 2.0, points.shape)
        picked = landed + rng.normal(size=points.shape) * sigma
        result = fusion.register_landmarks(points, picked, model="warp", sigma=sigma, outliers="keep")
        miss = (result.transform(np.pad(probe, ((0, 0), (1, 0)))) - np.pad(truth, ((0, 0), (1, 0))))[:, 1:]
        spread = result.transform.covariance_at(np.pad(probe, ((0, 0), (1, 0))), outside=True)[:, 1:, 1:]
        squares += (miss * np.linalg.solve(spread, miss[..., None])[..., 0]).sum(axis=1).tolist()
    assert 0.6 < np.mean(squares) / 2.0 < 1.35
    assert 0.91 < np.mean(np.array(squares) < 5.99) < 0.99


def test_an_estimated_error_is_that_of_the_landmarks() -> None:
    points, landed = landmarks(12, count=80)
    result = fusion.register_landmarks(points, landed, model="warp")
    assert result.sigma == pytest.approx(0.3, rel=0.25)
    assert result.dof == 80 * 3 - 12
    assert result.transform.widening > 1.0


def test_errors_of_the_moving_side_are_turned_by_the_map() -> None:
    points, landed = landmarks(13)
    own = np.array([[0.9, 0.1, 0.1]])
    result = fusion.register_landmarks(points, landed, model="warp", sigma_moving=own, sigma_fixed=0.01)
    process = result.transform.steps[0].process
    slope = process.jacobian(points)
    expected = slope @ np.diag(own[0] ** 2) @ slope.swapaxes(1, 2) + 0.01**2 * np.eye(3)
    np.testing.assert_allclose(process.covariance, expected, atol=0.05)


def test_leaving_a_landmark_out_is_what_the_others_say() -> None:
    from fusion.kriging import Kriging, System

    process = warp(14, dim=2).transform.steps[0].process
    kernel = process.kernels[0]
    off, square = System(process, kernel).left_out()
    rest = Kriging(*(np.delete(a, 5, axis=0) for a in (process.moving, process.fixed, process.covariance)), (kernel,))
    system = System(rest, kernel)
    there = process.moving[5:6]
    miss = process.fixed[5] - system.landed(there)[0]
    np.testing.assert_allclose(off[5], miss, atol=1e-9)
    spread = system.spread(there)[0] + process.covariance[5]
    np.testing.assert_allclose(square[5], miss @ np.linalg.solve(spread, miss), rtol=1e-6)


def test_wrong_landmarks_are_named_dropped_or_kept() -> None:
    points, landed = landmarks(15)
    landed[7] += [0.0, 15.0, 0.0]
    with pytest.raises(fusion.RegistrationError, match=r"where the others place them: 7; or pass"):
        fusion.register_landmarks(points, landed, model="warp", sigma=0.3)
    dropped = fusion.register_landmarks(points, landed, model="warp", sigma=0.3, outliers="drop")
    assert np.flatnonzero(~dropped.kept.values).tolist() == [7]
    assert abs(float(dropped.residuals[7, 1])) > 10.0
    assert np.isnan(float(dropped.left_out["p"][7]))
    kept = fusion.register_landmarks(points, landed, model="warp", sigma=0.3, outliers="keep")
    assert int(np.argmin(kept.left_out["p"].values)) == 7


def test_a_map_that_folds_is_refused() -> None:
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij"), axis=-1).reshape(-1, 2) * 10.0
    folded = grid.copy()
    folded[grid[:, 1] == 20.0, 1] = 33.0
    folded[grid[:, 1] == 30.0, 1] = 17.0
    with pytest.raises(fusion.RegistrationError, match=r"folds near \("):
        fusion.register_landmarks(grid, folded, model="warp", sigma=0.1, outliers="keep")


@pytest.mark.parametrize(
    ("moving", "fixed", "message"),
    [
        (landmarks(16, 7)[0], landmarks(16, 7)[0], "8 to 500 pairs of landmarks; received 7"),
        (landmarks(16)[0], landmarks(16)[0] * [1, 1, -1], "mirrored"),
        (landmarks(16)[0] * [0, 1, 1], landmarks(16)[0], "on one line or plane"),
        (landmarks(16)[0][:, 1:], landmarks(16)[0], "section in a volume"),
    ],
)
def test_what_determines_no_warp_is_refused(moving: np.ndarray, fixed: np.ndarray, message: str) -> None:
    with pytest.raises(fusion.RegistrationError, match=message):
        fusion.register_landmarks(moving, fixed, model="warp", sigma=0.3)


def test_far_from_the_origin_the_map_is_the_same() -> None:
    points, landed = landmarks(17, dim=2)
    near = fusion.register_landmarks(points, landed, model="warp", sigma=0.3).transform
    far = fusion.register_landmarks(points + 2e5, landed - 1e5, model="warp", sigma=0.3).transform
    probe, away = inner(18, 4) * [0, 1, 1], np.array([0.0, 2e5, 2e5])
    np.testing.assert_allclose(far(probe + away) + away / 2.0, near(probe), atol=1e-6)
    np.testing.assert_allclose(far.covariance_at(probe + away), near.covariance_at(probe), rtol=1e-4)


def test_a_warp_is_kept_in_the_pose_of_a_dataset(tmp_path: object) -> None:
    found = TURN @ warp(19).transform.inverse()
    image = fusion.dataset(
        {"image": (("y", "x"), np.ones((2, 3)))}, {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0)},
        name="image", cell_methods="mean", pose=found, frame="stage",
    )  # fmt: skip
    fusion.save(image, tmp_path / "warped.nc")
    pose, frame = fusion.get_pose(fusion.load(tmp_path / "warped.nc"))
    assert isinstance(pose, Warp)
    assert frame == "stage"
    probe = TURN.inverse()(found(inner(20)))
    np.testing.assert_array_equal(pose(probe), found(probe))
    np.testing.assert_array_equal(pose.covariance_at(probe), found.covariance_at(probe))
    straight = fusion.set_pose(xr.Dataset(), Affine.translation(1.0), "stage")
    way = fusion.between(image, straight)
    np.testing.assert_allclose(way(probe), found(probe) - [1.0, 0.0, 0.0], atol=1e-9)
    damaged = image.copy()
    damaged["pose"].attrs["warp"] = damaged["pose"].attrs["warp"][:-9]
    with pytest.raises(fusion.FrameError, match="damaged"):
        fusion.get_pose(damaged)


def test_what_straight_lines_are_needed_for_refuses_a_warp() -> None:
    bent = fusion.set_pose(fusion.phantom()["map"].to_dataset(), warp(21).transform, "stage")
    with pytest.raises(fusion.FrameError, match="straight lines to curves"):
        fusion.frames.affine_pose(bent)
