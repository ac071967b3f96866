"""Two images of one scene that is known everywhere, on grids of unequal pixels; and two that are not of one scene."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import conspectus
import fusion
from fusion import Axis
from fusion.images.refinement import Motion, refine, refine_near

TRUTH = fusion.Affine.translation(y=2.0, x=-3.0) @ fusion.Affine.rotation(137.0)


def scene(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return an image of soft discs at positions (..., 2) in um: dark and bright ones within 30 um of the origin."""
    rng = np.random.default_rng(seed)
    centres, radii, heights = rng.uniform(-30, 30, (60, 2)), rng.uniform(1.0, 5.0, 60), rng.uniform(-1, 1, 60)
    far = np.linalg.norm(points[..., None, :] - centres, axis=-1)
    return np.asarray((heights / (1.0 + np.exp((far - radii) / 0.3))).sum(axis=-1))


def image(
    shape: tuple[int, int], steps: tuple[float, float], truth: fusion.Affine, *, seed: int = 0, noise: float = 0.1,
    contrast: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> xr.Dataset:  # fmt: skip
    """Return what an instrument sees whose coordinates `truth` maps to those of the scene."""
    axes = {d: Axis("um", s, -(n - 1) / 2 * s) for d, n, s in zip("yx", shape, steps, strict=True)}
    y, x = (axes[d].centres(n, "um") for d, n in zip("yx", shape, strict=True))
    points = np.stack([np.zeros(shape), *np.meshgrid(y, x, indexing="ij")], axis=-1)
    values = contrast(scene(truth(points)[..., 1:], seed))
    values = values / values.std() + noise * np.random.default_rng(seed + 1).normal(size=shape)
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name="image", cell_methods="mean")


@pytest.fixture(scope="module")
def fixed() -> xr.Dataset:
    return image((120, 100), (0.4, 0.5), fusion.Affine.identity())


def test_a_turned_inverted_image_of_other_pixels_is_found(fixed: xr.Dataset) -> None:
    moving = image((90, 140), (0.5, 0.3), TRUTH, contrast=lambda v: -np.abs(v - 0.5), noise=0.2)
    result = fusion.register_images(moving, fixed)
    corners = np.array([[y, x] for y in (-22.0, 22.0) for x in (-21.0, 21.0)])
    lifted = np.pad(corners, ((0, 0), (1, 0)))
    assert result.verdict.sure
    assert np.linalg.norm(result.transform(lifted) - TRUTH(lifted), axis=1).max() < 0.15
    assert (np.asarray(result.tre(corners)) < 0.2).all()
    assert result.holds(corners, TRUTH(lifted), level=0.999).all()
    assert not result.transform.matrix[0, 1:].any(), "z stays as it is"


@pytest.mark.parametrize(("model", "stretch"), [("similarity", fusion.Affine.scaling(1.0, 1.15, 1.15)),
                                                ("affine", fusion.Affine.scaling(1.0, 1.08, 1.0))])  # fmt: skip
def test_scales_are_found_too(fixed: xr.Dataset, model: str, stretch: fusion.Affine) -> None:
    truth = fusion.Affine.rotation(20.0) @ stretch
    moving = image((110, 110), (0.4, 0.4), truth)
    found = fusion.register_images(moving, fixed, model=model, turn=22.0).transform
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=0.1)
    np.testing.assert_allclose(found.scale, truth.scale, atol=0.01)


def test_mutual_information_finds_the_same_transform(fixed: xr.Dataset) -> None:
    moving = image((90, 140), (0.5, 0.3), fusion.Affine.rotation(10.0))
    found = fusion.register_images(moving, fixed, metric="mutual information", turn=20.0)
    np.testing.assert_allclose(found.transform.matrix, fusion.Affine.rotation(10.0).matrix, atol=0.15)


def test_half_an_overlap_masks_gaps_and_uneven_light_do_no_harm(fixed: xr.Dataset) -> None:
    truth = fusion.Affine.translation(y=0.0, x=22.0)
    moving = image((120, 100), (0.4, 0.5), truth)
    moving["image"] = moving["image"] * (1.0 + 0.02 * moving["x"]) + 0.1 * moving["y"]
    moving["image"][40:60, 20:30] = np.nan
    moving["image"][:, 90:] = 50.0
    found = fusion.register_images(moving, fixed, mask_moving=moving["image"] < 40.0, turn=30.0)
    np.testing.assert_allclose(found.transform.matrix, truth.matrix, atol=0.3)
    assert found.verdict.overlap == pytest.approx(28.0 / 45.0, abs=0.05)


def test_images_of_two_scenes_are_refused_and_the_error_carries_the_best_answer(fixed: xr.Dataset) -> None:
    other = image((100, 100), (0.4, 0.4), fusion.Affine.identity(), seed=5)
    with pytest.raises(fusion.UncertainRegistrationError, match="mirrored image, which belongs nowhere") as caught:
        fusion.register_images(other, fixed)
    error = pickle.loads(pickle.dumps(caught.value))
    assert not error.registration.verdict.sure
    assert isinstance(error.registration.transform, fusion.Affine)
    kept = fusion.register_images(other, fixed, uncertain="keep")
    assert kept.verdict.against == error.registration.verdict.against


def test_a_mirrored_image_is_named(fixed: xr.Dataset) -> None:
    mirrored = fixed.assign(image=fixed["image"].copy(data=fixed["image"].values[:, ::-1]))
    with pytest.raises(fusion.UncertainRegistrationError, match="one axis of one of the two runs the other way"):
        fusion.register_images(mirrored, fixed)


def test_a_stage_that_disagrees_is_named_and_combined_only_if_its_error_allows(fixed: xr.Dataset) -> None:
    truth = fusion.Affine.translation(y=1.0, x=1.0)
    moving = image((90, 140), (0.4, 0.3), truth)

    def stage(sigma: float) -> fusion.Affine:
        spread = np.zeros((3, 4, 3, 4))
        spread[[1, 2], 3, [1, 2], 3] = sigma**2
        return fusion.Affine(np.eye(4), covariance=spread.reshape(12, 12))

    exact = fusion.register_images(moving, fixed, model="translation", start=stage(0.1), uncertain="keep")
    assert "um from start" in str(exact.verdict)
    with pytest.raises(fusion.RegistrationError, match="disagrees"):
        fusion.combine(stage(0.1), exact.transform)
    loose = fusion.register_images(moving, fixed, model="translation", start=stage(1.0))
    np.testing.assert_allclose(fusion.combine(stage(1.0), loose.transform).matrix, truth.matrix, atol=0.1)


def test_an_image_that_cannot_be_used_is_refused(fixed: xr.Dataset) -> None:
    flat = fixed.assign(image=fixed["image"] * 0.0)
    with pytest.raises(fusion.DataError, match="no contrast"):
        fusion.register_images(flat, fixed)
    with pytest.raises(fusion.ConventionError, match="name one with variable_moving="):
        fusion.register_images(fixed.assign(other=fixed["image"]), fixed)
    with pytest.raises(fusion.RegistrationError, match="leaves the plane"):
        fusion.register_images(fixed, fixed, start=fusion.Affine.rotation(30.0, axis=(0.0, 1.0, 0.0)))
    with pytest.raises(fusion.RegistrationError, match="turn is 0 to 180"):
        fusion.register_images(fixed, fixed, turn=270.0)
    with pytest.raises(fusion.RegistrationError, match="unknown model 'elastic'"):
        fusion.register_images(fixed, fixed, model="elastic")  # type: ignore[arg-type]
    pixels = fusion.dataset({"image": (("y", "x"), fixed["image"].values)}, {d: Axis("px", 1.0) for d in "yx"},
                            name="image", cell_methods="mean")  # fmt: skip
    with pytest.raises(fusion.UnitError, match="set_pixel_size"):
        fusion.register_images(pixels, fixed)


def test_the_published_shift_of_a_measured_pair_is_found(measured: Callable[[str], Path]) -> None:
    """TrakEM2's translation of the transmission image on the SEM image is (-10.27, 6.14) pixels of 7.34 nm."""
    sem, tsem = (
        next(iter(conspectus.open(measured(f"correlative_sem_tsem/{name}.tif")).children.values())).to_dataset()
        for name in ("1908248_SEM", "1908249_TSEM")
    )
    pixel = float(sem["x"][1] - sem["x"][0])
    above_data_bar = xr.ones_like(sem["image"], dtype=bool)
    above_data_bar[-60:] = False
    result = fusion.register_images(tsem, sem, mask_moving=above_data_bar, mask_fixed=above_data_bar)
    assert result.verdict.sure
    np.testing.assert_allclose(result.transform([0.0, 0.0, 0.0])[1:] / pixel, [-10.27, 6.14], atol=0.7)
    assert result.transform.angle < 0.1
    assert 0.1 < result.interval([[0.0, 0.0]]).values[0, 2] / pixel < 1.5


def test_both_ways_to_refine_climb_the_same_hill() -> None:
    """Its top is off along both axes and in angle, and it is narrower along one diagonal."""
    around = Motion("rigid", np.eye(3), np.zeros(2), 50.0)
    top = around(np.array([0.7, -1.1, 0.4]))
    narrow = np.array([[2.0, 1.5], [1.5, 2.0]])

    class Hill:
        def __call__(self, matrix: np.ndarray) -> float:
            off = (matrix - top)[:2, 2]
            return float(-off @ narrow @ off - 2500.0 * ((matrix - top)[:2, :2] ** 2).sum())

        def part(self, rows: np.ndarray) -> "Hill":
            return self

    for way in (refine, refine_near):
        np.testing.assert_allclose(way(Hill(), around, 1.0), [0.7, -1.1, 0.4], atol=0.02)
