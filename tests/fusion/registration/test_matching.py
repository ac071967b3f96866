"""Landmarks in an unknown order, with some missing on either side."""

import numpy as np
import pytest

import fusion
from fusion import Affine

TURN = Affine.translation(30.0, -20.0, 7.0) @ Affine.rotation(140.0, axis=(1.0, 0.4, -0.3))


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("missing", [0, 3])
def test_the_order_is_found_at_any_rotation(dim: int, missing: int) -> None:
    turn = TURN if dim == 3 else Affine.rotation(200.0)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        points = rng.uniform(-50.0, 50.0, (12, 3))
        points[:, : 3 - dim] = 0.0
        order = rng.permutation(12)
        landed = (turn(points) + rng.normal(size=points.shape) * 0.1)[order][missing:, 3 - dim :]
        pairs = fusion.match_landmarks(points[: 12 - missing, 3 - dim :], landed, sigma=0.1)
        right = [(i, j) for j, i in enumerate(order[missing:]) if i < 12 - missing]
        assert sorted(map(tuple, pairs.tolist())) == sorted(right)


def test_symmetric_or_unrelated_landmarks_are_refused() -> None:
    square = np.array([[0.0, 0.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0]])
    with pytest.raises(fusion.RegistrationError, match="equally well"):
        fusion.match_landmarks(square, square + 3.0, sigma=0.1)
    rng = np.random.default_rng(0)
    with pytest.raises(fusion.RegistrationError, match="find a partner"):
        fusion.match_landmarks(rng.uniform(0, 100, (9, 3)), rng.uniform(0, 100, (9, 3)), sigma=0.1)
