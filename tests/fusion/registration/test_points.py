"""Points without order: found at any angle with half of them missing, and refused where chance would do as well."""

import numpy as np
import pytest

import fusion
from fusion import Affine

SIGMA = 0.08


def scene(dim: int, model: str, lost: float, seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray, Affine]:
    """Return points of a field of 20 um, where they are found again with some lost and as many false, and the truth."""
    rng = np.random.default_rng([dim, seed])
    axis = (1.0, 0.0, 0.0) if dim == 2 else rng.normal(size=3)
    size = float(rng.uniform(0.5, 2.0)) if model == "similarity" else 1.0
    truth = Affine.translation(*rng.normal(size=3) * 20.0 * [dim == 3, 1, 1])
    truth = truth @ Affine.rotation(rng.uniform(0.0, 360.0), axis=axis) @ Affine.scaling(size, size, size)
    points = rng.uniform(-10.0, 10.0, (count, 3)) * [dim == 3, 1, 1]
    kept = rng.permutation(count)[: round(count * (1.0 - lost))]
    found = truth(points[kept]) + rng.normal(size=(len(kept), 3)) * SIGMA * [dim == 3, 1, 1]
    false = rng.uniform(found.min(axis=0), found.max(axis=0), (round(count * lost), 3))
    mixed = rng.permutation(np.concatenate([found, false]))
    return points[:, 3 - dim :], mixed[:, 3 - dim :], truth


@pytest.mark.parametrize("model", ["rigid", "similarity"])
@pytest.mark.parametrize("dim", [2, 3])
def test_the_transform_is_found_with_half_of_the_points_missing(dim: int, model: str) -> None:
    held = 0
    for seed in range(4):
        moving, fixed, truth = scene(dim, model, 0.5, seed)
        found = fusion.register_points(moving, fixed, sigma=SIGMA, model=model)
        target = np.array([[0.0, 3.0, -4.0]])
        assert np.linalg.norm(found.transform(target) - truth(target)) < 4.0 * SIGMA
        held += int(found.holds(target, truth(target))[0])
        assert len(found.pairs) >= 25
        assert found.false_alarms < 1e-4
        rows, columns = found.pairs.values.T
        apart = fixed[columns] - found.transform(np.pad(moving[rows], ((0, 0), (3 - dim, 0))))[:, 3 - dim :]
        np.testing.assert_allclose(found.residuals.values[:, 3 - dim :], apart, atol=1e-9)
        assert np.abs(apart).max() < 4.0 * SIGMA
    assert held >= 2


def test_the_pairs_are_the_true_ones() -> None:
    moving, _, truth = scene(3, "rigid", 0.0, 1, 30)
    order = np.random.default_rng(2).permutation(30)
    found = fusion.register_points(moving, truth(moving)[order][4:], sigma=0.01)
    assert {(row, column) for row, column in found.pairs.values} == {
        (row, column) for column, row in enumerate(order[4:])
    }


def test_points_that_have_nothing_in_common_are_refused() -> None:
    for seed in range(12):
        rng = np.random.default_rng([3, seed])
        dim = 2 + seed % 2
        with pytest.raises(fusion.RegistrationError, match="would by chance"):
            fusion.register_points(rng.uniform(0, 20, (30, dim)), rng.uniform(0, 20, (30, dim)), sigma=SIGMA)


def test_the_mirror_image_of_points_is_refused() -> None:
    moving, fixed, _ = scene(2, "rigid", 0.2, 4)
    fusion.register_points(moving, fixed, sigma=SIGMA)
    with pytest.raises(fusion.RegistrationError, match="would by chance"):
        fusion.register_points(moving * [1.0, -1.0], fixed, sigma=SIGMA)


def test_a_symmetric_lattice_is_refused() -> None:
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), axis=-1).reshape(-1, 2) * 5.0
    with pytest.raises(fusion.RegistrationError, match="equally well"):
        fusion.register_points(grid, grid + 3.0, sigma=SIGMA)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "positive standard deviation"),
        ({"sigma": 0.1, "model": "affine"}, "unknown model 'affine'"),
    ],
)
def test_senseless_settings_are_refused(options: dict, message: str) -> None:
    with pytest.raises(fusion.RegistrationError, match=message):
        fusion.register_points(np.eye(3), np.eye(3), **options)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(fusion.RegistrationError, match="at least 4 points of each side"):
        fusion.register_points(np.eye(3), np.eye(3), sigma=0.1)
    with pytest.raises(fusion.RegistrationError, match="3 columns, the fixed ones 2"):
        fusion.register_points(np.eye(3), np.eye(3)[:, :2], sigma=0.1)
