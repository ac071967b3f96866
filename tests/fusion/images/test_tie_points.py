"""An image and the same scene bent by a known map, in other contrast and other pixels."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Axis

CENTRES = np.random.default_rng(5).uniform(-32, 32, (400, 2))
RADII, HEIGHTS = np.random.default_rng(6).uniform(0.5, 2.5, 400), np.random.default_rng(7).uniform(-1, 1, 400)


def scene(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return soft discs, dark and bright ones."""
    total = np.zeros(np.broadcast_shapes(y.shape, x.shape))
    for (row, column), radius, height in zip(CENTRES, RADII, HEIGHTS, strict=True):
        total += height / (1.0 + np.exp((np.hypot(y - row, x - column) - radius) / 0.2))
    return total


def bend(points: np.ndarray) -> np.ndarray:
    """Return where points (n, 2) of the bent image lie in the other one: up to 1.5 um off, beside a shift."""
    y, x = points.T
    return np.stack([y + 1.0 + 1.5 * np.sin(x / 12.0), x - 0.5 + 1.2 * np.sin(y / 15.0 + 1.0)], axis=1)


def image(shape: tuple[int, int], step: float, where: Callable, contrast: Callable, seed: int) -> xr.Dataset:
    axes = {d: Axis("um", step, -(n - 1) / 2 * step) for d, n in zip("yx", shape, strict=True)}
    grid = np.stack(np.meshgrid(*(axes[d].centres(n, "um") for d, n in zip("yx", shape, strict=True)), indexing="ij"))
    values = contrast(scene(*where(grid.reshape(2, -1).T).T)).reshape(shape)
    values = values + 0.2 * values.std() * np.random.default_rng(seed).normal(size=shape)
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name="image", cell_methods="mean")


@pytest.fixture(scope="module")
def fixed() -> xr.Dataset:
    return image((130, 150), 0.4, lambda points: points, np.asarray, 1)


@pytest.fixture(scope="module")
def moving() -> xr.Dataset:
    return image((170, 180), 0.3, bend, lambda v: -np.sign(v) * np.abs(v) ** 0.7, 2)


def test_squares_are_found_where_they_lie(moving: xr.Dataset, fixed: xr.Dataset) -> None:
    ties = fusion.tie_points(moving, fixed, fusion.Affine.translation(y=1.0, x=-0.5), spacing=8.0, reach=2.4)
    assert ties["moving"].dims == ("point", "axis")
    assert ties["axis"].values.tolist() == ["y", "x"]
    assert ties.sizes["point"] > 20
    off = ties["fixed"].values - bend(ties["moving"].values)
    assert np.sqrt((off**2).mean()) < 0.15
    assert 0.01 < float(ties["sigma"].median()) < 0.2


def test_a_second_call_follows_the_warp_of_the_first(moving: xr.Dataset, fixed: xr.Dataset) -> None:
    start = fusion.Affine.translation(y=1.0, x=-0.5)
    places = np.random.default_rng(0).uniform(-18, 18, (200, 2))
    misses, transform = [], start
    for options in ({"spacing": 8.0, "reach": 2.4}, {"spacing": 5.0, "reach": 2.0}):
        ties = fusion.tie_points(moving, fixed, transform, **options)
        pairs = (ties[side].values for side in ("moving", "fixed"))
        found = fusion.register_landmarks(*pairs, model="warp", sigma=ties["sigma"].values, outliers="keep")
        transform = found.transform
        landed = transform(np.pad(places, ((0, 0), (1, 0))))[:, 1:]
        misses.append(float(np.sqrt(((landed - bend(places)) ** 2).sum(axis=1).mean())))
    assert misses[1] < misses[0] < 0.1
    assert misses[1] < 0.06, "an eighth of a pixel"


def test_empty_squares_have_no_answer(moving: xr.Dataset, fixed: xr.Dataset) -> None:
    blank = fixed.copy(deep=True)
    rng = np.random.default_rng(3)
    blank["image"][:, 75:] = rng.normal(scale=float(fixed["image"].std()), size=(130, 75))
    ties = fusion.tie_points(moving, blank, fusion.Affine.translation(y=1.0, x=-0.5), spacing=8.0, reach=2.4)
    right = ties["fixed"].sel(axis="x").values > float(fixed["x"][80])
    assert right.mean() < 0.1


def test_refusals(moving: xr.Dataset, fixed: xr.Dataset) -> None:
    noise = fixed.copy(data={"image": np.random.default_rng(4).normal(size=(130, 150))})
    with pytest.raises(fusion.RegistrationError, match=r"squares of 8 um have an answer"):
        fusion.tie_points(moving, noise, fusion.Affine.identity(), spacing=8.0)
    with pytest.raises(fusion.RegistrationError, match=r"received spacing=1, "):
        fusion.tie_points(moving, fixed, fusion.Affine.identity(), spacing=1.0)
    with pytest.raises(fusion.RegistrationError, match="reach=20"):
        fusion.tie_points(moving, fixed, fusion.Affine.identity(), reach=20.0)
    with pytest.raises(fusion.RegistrationError, match="leaves the plane"):
        fusion.tie_points(moving, fixed, fusion.Affine.rotation(5.0, axis=(0, 1, 0)))
