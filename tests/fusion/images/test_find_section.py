"""A plane of a volume of soft balls, known everywhere: found from a start nearby, refused where it is not there."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import map_coordinates, spline_filter

import fusion
from fusion import Affine, Axis
from fusion.images import _kernels as kernels

SHAPE, STEPS = (44, 64, 72), (0.9, 0.7, 0.6)
"""An odd voxel, so that an exchange of axes is seen."""
TRUTH = Affine.translation(19.0, 22.0, 21.0) @ Affine.rotation(25.0, axis=(0.3, 1.0, -0.5))
START = Affine.translation(2.0, -1.5, 1.0) @ TRUTH @ Affine.rotation(6.0, axis=(1.0, -2.0, 1.0))


def scene(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return balls of two kinds at positions (..., 3) in um."""
    rng = np.random.default_rng(seed)
    centres, radii = rng.uniform(0, 44, (120, 3)), rng.uniform(1.5, 4.0, 120)
    heights = rng.choice([-0.7, 1.0], 120)
    total = np.zeros(points.shape[:-1])
    for centre, radius, height in zip(centres, radii, heights, strict=True):
        total += height / (1.0 + np.exp((np.linalg.norm(points - centre, axis=-1) - radius) / 0.4))
    return total


def section(seed: int = 0, noise: float = 0.3) -> xr.Dataset:
    """Return an image of other pixels whose contrast is inverted and folded."""
    axes = {"y": Axis("um", 0.6, -12.0), "x": Axis("um", 0.8, -14.0)}
    y, x = (axes[d].centres(n, "um") for d, n in (("y", 41), ("x", 36)))
    points = np.stack([np.zeros((41, 36)), *np.meshgrid(y, x, indexing="ij")], axis=-1)
    values = -np.abs(scene(TRUTH(points), seed) + 0.3)
    values = values / values.std() + noise * np.random.default_rng(seed).normal(size=values.shape)
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name="section", cell_methods="mean")


@pytest.fixture(scope="module")
def volume() -> xr.Dataset:
    axes = {dim: Axis("um", step) for dim, step in zip("zyx", STEPS, strict=True)}
    lines = [np.arange(n) * step for n, step in zip(SHAPE, STEPS, strict=True)]
    values = scene(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1))
    values += 0.05 * np.random.default_rng(1).normal(size=SHAPE)
    return fusion.dataset({"image": (("z", "y", "x"), values)}, axes, name="volume", cell_methods="mean")


CORNERS = np.array([[0.0, y, x] for y in (-12.0, 12.0) for x in (-14.0, 14.0)])


def test_the_plane_is_found_with_its_error(volume: xr.Dataset) -> None:
    result = fusion.find_section(section(), volume, start=START, turn=8.0, reach=3.0)
    apart = np.linalg.norm(result.transform(CORNERS) - TRUTH(CORNERS), axis=1)
    assert result.verdict.sure
    assert apart.max() < 0.9, "a voxel"
    assert 0.1 < float(result.tre(CORNERS).mean()) < 0.6
    np.testing.assert_allclose(result.transform.scale, 1.0, atol=1e-9)
    placed = fusion.resample(volume, section(), transform=result.transform.inverse(), method="linear")
    assert float(placed["coverage"].mean()) > 0.9


def test_a_start_with_a_scale_searches_the_same_range(volume: xr.Dataset) -> None:
    """The image in other units of length: the same poses, hence the same answer."""
    image = section().isel(y=slice(8, 32), x=slice(8, 28))
    small = image.assign_coords({dim: image[dim].copy(data=image[dim] / 8.0) for dim in "yx"})
    near: dict[str, Any] = {"turn": 3.0, "reach": 1.0, "uncertain": "keep"}
    plain = fusion.find_section(image, volume, start=TRUTH, **near)
    scaled = fusion.find_section(small, volume, start=TRUTH @ Affine.scaling(8.0, 8.0, 8.0), **near)
    np.testing.assert_allclose(scaled.transform(CORNERS / 8.0), plain.transform(CORNERS), atol=1e-3)
    np.testing.assert_allclose(scaled.tre(CORNERS / 8.0), plain.tre(CORNERS), rtol=0.02)
    assert scaled.step == plain.step


def test_an_image_of_something_else_is_refused(volume: xr.Dataset) -> None:
    with pytest.raises(fusion.UncertainRegistrationError, match="not sure") as caught:
        fusion.find_section(section(seed=5), volume, start=START, turn=8.0, reach=3.0)
    assert not caught.value.registration.verdict.sure


def test_a_start_outside_the_volume_is_refused(volume: xr.Dataset) -> None:
    with pytest.raises(fusion.RegistrationError, match="outside the volume"):
        fusion.find_section(section(), volume, start=Affine.translation(z=500.0) @ TRUTH)


def test_arguments_out_of_range_are_refused(volume: xr.Dataset) -> None:
    with pytest.raises(fusion.RegistrationError, match="turn is 0 to 30"):
        fusion.find_section(section(), volume, start=START, turn=90.0)
    with pytest.raises(fusion.ConventionError, match="no variable"):
        fusion.find_section(section(), volume, start=START, variable_volume="images")


def test_the_kernel_reads_splines_exactly() -> None:
    """Against SciPy's own interpolation of the same coefficients."""
    values = np.random.default_rng(0).normal(size=(9, 10, 11))
    coefficients = spline_filter(np.pad(values, 2, mode="edge"), 3, mode="mirror")
    points = np.random.default_rng(1).uniform(-1.0, 9.5, (50, 2))
    back = np.array([[0.3, 0.2, 2.0], [1.0, 0.1, 0.4], [-0.1, 1.0, 1.0]])
    at = points @ back[:, :2].T + back[:, 2]
    found = np.empty(50)
    kernels.plane_values(coefficients, np.ones(values.shape, bool), back, points, found)
    expected = map_coordinates(coefficients, at.T + 2.0, order=3, prefilter=False, mode="mirror")
    inside = (at >= 0).all(axis=1) & (at <= np.array(values.shape) - 1).all(axis=1)
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-9)
    np.testing.assert_array_equal(np.isfinite(found), inside)
    assert 10 < inside.sum() < 45
