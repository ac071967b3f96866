"""volumes.height_from_interference on spheres above glass, whose height is known."""

import dask.array as da
import numpy as np
import pytest
import tifffile

import fusion
import volumes
from fusion.errors import ConventionError, DataError, UnitError

WAVE, INDEX, DARK, BRIGHT = 0.546, 1.333, 100.0, 300.0
HALF = WAVE / (4 * INDEX)
OPTICS = {"wavelength": "546 nm", "refractive_index": INDEX, "minimum": DARK, "maximum": BRIGHT}


def sphere(ny=81, nx=101, step=0.05, radius=20.0):
    """Height of a sphere that touches the glass in the middle."""
    y, x = ((np.arange(size) - (size - 1) / 2) * step for size in (ny, nx))
    return radius - np.sqrt(radius**2 - y[:, None] ** 2 - x**2)


def fringes(height, noise=0.0, seed=0):
    """Intensity above parallel walls: dark where they touch."""
    intensity = (BRIGHT + DARK) / 2 - (BRIGHT - DARK) / 2 * np.cos(4 * np.pi * INDEX * height / WAVE)
    return intensity + np.random.default_rng(seed).normal(0, noise or 0.0, height.shape)


def image(values, **attrs):
    px = fusion.Axis("um", step=0.05)
    return fusion.dataset({"image": (("y", "x"), values, attrs)}, {"y": px, "x": px}, name="ricm", cell_methods="mean")


def on_branch(ds, height, branch):
    return ds["image"].copy(data=(height >= branch * HALF) & (height < (branch + 1) * HALF)).astype(bool)


@pytest.mark.parametrize("branch", [0, 1, 2])
def test_a_sphere_without_noise(branch):
    height = sphere()
    ds = image(fringes(height))
    where = on_branch(ds, height, branch)
    found = fusion.check(volumes.height_from_interference(ds, **OPTICS, branch=branch, noise=0.01, where=where))
    np.testing.assert_allclose(found["height"].values[where], height[where], atol=1e-9)
    assert np.isnan(found["height"].values[~where]).all()
    assert found["height"].attrs["units"] == "um"
    assert found["height"].attrs["ancillary_variables"] == "height_stderr"


def test_heights_from_a_camera_file(tmp_path):
    """An image of RICM is kept as OME-TIFF, which has no word for it: the pixel size comes from the file."""
    height = sphere()
    said = {"axes": "YX", "PhysicalSizeX": 50.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 50.0,
            "PhysicalSizeYUnit": "nm"}  # fmt: skip
    tifffile.imwrite(tmp_path / "ricm.ome.tif", np.round(fringes(height)).astype(np.uint16), metadata=said)
    ds = fusion.check(volumes.open(tmp_path / "ricm.ome.tif"))
    np.testing.assert_allclose(np.diff(ds["x"]), 0.05)
    where = on_branch(ds, height, 1)
    found = volumes.height_from_interference(ds, **OPTICS, branch=1, noise=0.5, where=where)
    np.testing.assert_allclose(found["height"].values[where], height[where], atol=0.01)


def test_a_noisy_sphere_lies_within_its_error_bars():
    height, noise = sphere(), 2.0
    ds = image(fringes(height, noise))
    where = on_branch(ds, height, 1)
    found = volumes.height_from_interference(ds, **OPTICS, branch=1, noise=noise, where=where)
    score = ((found["height"] - height) / found["height_stderr"]).values[where]
    assert 0.85 < np.mean(score**2) < 1.1
    assert abs(score.mean()) < 4 / np.sqrt(score.size)


def test_the_error_is_that_of_the_slope():
    """Half way up a fringe dh = λ / (2 π n) · dI / (Imax - Imin)."""
    ds = image(np.full((3, 3), 200.0))
    found = volumes.height_from_interference(ds, **OPTICS, branch=0, noise=0.5)
    np.testing.assert_allclose(found["height_stderr"], WAVE / (2 * np.pi * INDEX) * 0.5 / (BRIGHT - DARK), rtol=1e-4)


def test_several_fringes_are_ambiguous():
    height = sphere()
    with pytest.raises(DataError, match=r"extremes divide it into \d regions.*where="):
        volumes.height_from_interference(image(fringes(height, 1.0)), **OPTICS, branch=0, noise=1.0)


def test_noise_alone_parts_nothing():
    """A flat membrane near an extreme is one region, however its specks lie."""
    tilted = np.broadcast_to(np.linspace(0.02, HALF, 60), (50, 60))
    found = volumes.height_from_interference(image(fringes(tilted, 4.0)), **OPTICS, branch=0, noise=4.0)
    assert np.isfinite(found["height"]).all()


def test_the_standard_error_of_the_dataset_serves_as_noise():
    ds = image(np.full((3, 3), 200.0))
    ds["image_stderr"] = ds["image"].copy(data=np.full((3, 3), 0.5))
    ds["image"].attrs["ancillary_variables"] = "image_stderr"
    given = volumes.height_from_interference(ds, **OPTICS, branch=0, noise=0.5)
    np.testing.assert_array_equal(
        volumes.height_from_interference(ds, **OPTICS, branch=0)["height_stderr"], given["height_stderr"]
    )


def test_lazy_stays_lazy_and_the_pose_is_kept():
    height = sphere(21, 31)
    ds = image(fringes(height))
    turned = fusion.set_pose(ds, fusion.Affine.rotation(30.0), "stage")
    lazy = turned.assign(image=turned["image"].copy(data=da.from_array(turned["image"].values, chunks=(7, 31))))
    eager, later = (volumes.height_from_interference(one, **OPTICS, branch=0, noise=1.0) for one in (turned, lazy))
    assert later["height"].chunks is not None
    np.testing.assert_array_equal(later["height"].values, eager["height"].values)
    assert fusion.get_pose(eager)[1] == "stage"
    assert fusion.provenance.read(eager)["steps"][-1]["parameters"]["branch"] == 0


def test_the_input_is_left_as_it_was():
    values = fringes(sphere(21, 31))
    values.setflags(write=False)
    ds = image(values)
    before = ds.copy(deep=True)
    volumes.height_from_interference(ds, **OPTICS, branch=0, noise=1.0)
    assert ds.identical(before)


@pytest.mark.parametrize(
    ("changed", "error", "reason"),
    [
        ({"branch": -1}, ConventionError, "branch=-1"),
        ({"branch": 0.5}, ConventionError, "branch=0.5"),
        ({"noise": 0.0}, ConventionError, "noise=0.0"),
        ({"noise": None}, DataError, "its noise is not known"),
        ({"minimum": 300.0, "maximum": 100.0}, ConventionError, "the darker one first"),
        ({"refractive_index": 0.5}, ConventionError, "refractive_index=0.5"),
        ({"wavelength": "546 kV"}, UnitError, "kV"),
        ({"variable": "phase"}, ConventionError, "variable='phase'"),
        ({"minimum": 110.0}, DataError, "beyond minimum and maximum"),
    ],
)
def test_refused(changed, error, reason):
    with pytest.raises(error, match=reason):
        volumes.height_from_interference(
            image(fringes(sphere(21, 31))), **{**OPTICS, "branch": 0, "noise": 1.0, **changed}
        )


def test_an_image_of_nan_is_refused():
    with pytest.raises(DataError, match="no finite intensity"):
        volumes.height_from_interference(image(np.full((3, 3), np.nan)), **OPTICS, branch=0, noise=1.0)


def test_counts_and_a_single_channel():
    """Height is not conserved, even where the intensity was counted."""
    px = fusion.Axis("um", step=0.05)
    counts = np.array([[[100], [200], [300]]], dtype=np.uint16)
    ds = fusion.dataset({"image": (("y", "x", "channel"), counts)}, {"y": px, "x": px, "channel": ["green"]},
                        name="ricm", cell_methods="sum")  # fmt: skip
    found = fusion.check(volumes.height_from_interference(ds, **OPTICS, branch=1, noise=1.0))
    np.testing.assert_allclose(found["height"].values.ravel(), [2 * HALF, 1.5 * HALF, HALF])
    assert found["height"].attrs["cell_methods"] == "y: x: mean"


def test_one_pixel_has_a_height():
    found = volumes.height_from_interference(image(np.array([[100.0]])), **OPTICS, branch=2, noise=1.0)
    assert found["height"].values == pytest.approx(2 * HALF)
