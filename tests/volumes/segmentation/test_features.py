"""Features of voxels: analytic truth in um, the same however the image is cut."""

import numpy as np
import pytest

import volumes
from fusion.errors import ConventionError, DataError, UnitError
from fusion.model import Axis, dataset
from tests.makers.segmented import STEPS, image
from volumes.segmentation import image as blocks
from volumes.segmentation.features import FeatureSet, eigenvalues

EVEN = {"z": 0.006, "y": 0.005, "x": 0.007}


def position(shape, steps):
    """Return where each voxel is in um, along each axis."""
    centres = [np.arange(size) * steps[dim] for dim, size in zip("zyx", shape, strict=True)]
    return dict(zip("zyx", np.meshgrid(*centres, indexing="ij"), strict=True))


def middle(ds, name):
    found = ds["feature"].sel(channel=name)
    return float(found[tuple(n // 2 for n in found.shape)])


@pytest.mark.parametrize("dim", ["z", "y", "x"])
def test_the_gradient_of_a_ramp_is_its_slope_in_um_times_the_scale(dim):
    """A slope of 3 per um along any axis, whatever the step along it."""
    at = position((30, 33, 28), EVEN)
    found = volumes.features(image(3.0 * at[dim], steps=EVEN), scales=["10 nm"])
    assert middle(found, "gradient 0.01 um") == pytest.approx(3.0 * 0.01, rel=1e-4)
    assert middle(found, "structure 1 0.01 um") == pytest.approx(3.0 * 0.01, rel=1e-3)
    assert middle(found, "structure 2 0.01 um") == pytest.approx(0.0, abs=1e-4)


def test_the_hessian_of_a_paraboloid_is_its_curvature_times_the_scale_squared():
    at = position((40, 41, 39), EVEN)
    middles = {dim: values.max() / 2 for dim, values in at.items()}
    bowl = sum(k * (at[dim] - middles[dim]) ** 2 / 2 for dim, k in (("z", 300.0), ("y", -100.0), ("x", 50.0)))
    found = volumes.features(image(bowl, steps=EVEN), scales=[0.01])
    curvatures = [middle(found, f"Hessian {k} 0.01 um") for k in (1, 2, 3)]
    np.testing.assert_allclose(curvatures, np.array([300.0, 50.0, -100.0]) * 0.01**2, rtol=0.02)


def test_eigenvalues_are_those_of_numpy():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(200, 3, 3)).astype(np.float32)
    matrices += matrices.transpose(0, 2, 1)
    matrices[0] = 0.0
    for axes in [(0, 1, 2), (1, 2)]:
        tensor = {(i, j): matrices[:, i, j] for i in axes for j in axes if i <= j}
        expected = np.linalg.eigvalsh(matrices[:, axes[0] :, axes[0] :])[:, ::-1]
        np.testing.assert_allclose(np.stack(eigenvalues(tensor, axes), axis=1), expected, atol=2e-5)


def test_sections_far_apart_are_taken_one_by_one():
    values = np.random.default_rng(0).normal(size=(3, 40, 50)).astype(np.float32)
    found = volumes.features(image(values))["feature"]
    alone = volumes.features(image(values[1]))["feature"]
    np.testing.assert_array_equal(found[1], alone)
    assert found.sizes["channel"] == 5 * 6
    even = volumes.features(image(values, steps=EVEN))["feature"]
    assert even.sizes["channel"] == 4 * 8


@pytest.mark.parametrize("steps", [STEPS, EVEN])
def test_lazy_features_are_lazy_and_equal_however_the_image_is_cut(steps, monkeypatch):
    ds = image(np.random.default_rng(1).normal(size=(4, 50, 61)).astype(np.float32), steps=steps)
    ds["image"][1, 20:23, 30:35] = np.nan
    progress = []
    eager = volumes.features(ds, scales=["5 nm", "9 nm"], progress=progress.append)
    monkeypatch.setattr(blocks, "_SIDES", {2: 23, 3: 17})
    lazy = volumes.features(ds.chunk(y=13), scales=["5 nm", "9 nm"])
    assert lazy["feature"].chunks is not None
    np.testing.assert_array_equal(eager["feature"], lazy["feature"])
    assert progress[-1] == 1.0
    hole = np.isnan(ds["image"].values)
    assert np.isnan(eager["feature"].values[hole]).all()
    assert np.isfinite(eager["feature"].values[~hole]).all()


def test_a_block_is_left_as_it_is():
    """It may be a view of the image, which other blocks read as well."""
    block = np.random.default_rng(0).normal(size=(30, 30)).astype(np.float32)
    block[15, 15] = np.nan
    block.flags.writeable = False
    found = FeatureSet((0.005,), ("y", "x")).of_block(block, ("y", "x"), {"y": 0.005, "x": 0.005})
    assert np.isnan(found).any(axis=-1).sum() == 1


def test_what_is_nan_weighs_nothing():
    """The mean beside a hole in a uniform image is that of the image."""
    values = np.full((40, 40), 7.0)
    values[10:30, 20] = np.nan
    found = volumes.features(image(values), scales=["20 nm"])["feature"].sel(channel="mean 0.02 um")
    assert np.nanmax(np.abs(found - 7.0)) < 1e-4


def test_features_refuse():
    values = np.zeros((8, 9))
    pixels, uneven = Axis("px", 1.0), Axis("um", values=np.arange(9.0) ** 2)
    for axes, error, reason in [
        ({"y": pixels, "x": pixels}, UnitError, "cannot be segmented"),
        ({"y": Axis("um", 1.0), "x": uneven}, DataError, "x is not uniform"),
    ]:
        with pytest.raises(error, match=reason):
            volumes.features(dataset({"a": (("y", "x"), values)}, axes, name="a", cell_methods="mean"))
    with pytest.raises(DataError, match=r"at least half of the finest step, 0.0025 um"):
        volumes.features(image(values), scales=["1 nm"])
    with pytest.raises(ConventionError, match="name one with variable="):
        volumes.features(image(values).assign(other=image(values)["image"]))
