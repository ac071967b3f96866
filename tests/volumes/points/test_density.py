"""Localisations: their tables against h5py and numbers written here, and their images against the integral of Gauss."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusion
import volumes
from fusion.affine import Affine
from fusion.errors import ConspectusError, ConventionError, DataError, UnitError
from fusion.frames import get_pose
from fusion.model import Axis, dataset
from tests.makers.localisations import thunderstorm

ROWS = ["1.0,1.0,1500.5,20000.25,130.0,900.0,12.5,3.5,70.0,11.0", "2.0,7.0,10.0,NaN,140.0,800.0,13.5,4.5,80.0,13.0"]


def points(y, x, *, y_stderr=None, x_stderr=None, **more):
    size = len(y)
    variables = {"photons": ("point", np.full(size, 900.0))}
    for name, values in (("y_stderr", y_stderr), ("x_stderr", x_stderr)):
        if values is not None:
            variables[name] = ("point", np.broadcast_to(values, size).astype(float), {"units": "um"})
    axes = {"y": Axis("um", values=np.asarray(y, float)), "x": Axis("um", values=np.asarray(x, float))}
    return dataset(variables, axes, name="dna", **more)


class TestDensity:
    def test_a_point_at_a_known_place(self):
        image = volumes.density(points([0.105], [0.217]), "10 nm")["density"]
        assert image.dims == ("y", "x")
        assert (float(image["y"][0]), float(image["x"][0])) == pytest.approx((0.105, 0.215))
        assert image.values.tolist() == [[1]]
        assert image.attrs["cell_methods"] == "y: x: sum"
        assert image.attrs["units"] == "count"

    def test_rows_are_y(self):
        image = volumes.density(points([0.5, 2.5, 2.5], [10.5, 10.5, 14.5]), 1.0)["density"]
        assert image.shape == (3, 5)
        assert image.sel(y=2.5, x=14.5) == 1
        assert image.sel(y=0.5, x=14.5) == 0
        assert image.sel(y=0.5, x=10.5) == 1

    @settings(max_examples=40, deadline=None)
    @given(
        places=st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=30),
        pixel=st.floats(0.1, 30),
    )
    def test_no_point_is_lost(self, places, pixel):
        y, x = np.array(places).T
        image = volumes.density(points(y, x), pixel)
        assert image["density"].values.sum() == len(places)
        expected = np.histogram2d(np.floor(y / pixel), np.floor(x / pixel), [
            np.arange(np.floor(at.min() / pixel), np.floor(at.max() / pixel) + 2) - 0.5 for at in (y, x)
        ])[0]  # fmt: skip
        np.testing.assert_array_equal(image["density"], expected)

    def test_the_error_of_a_count_is_that_of_poisson(self):
        image = volumes.density(points([0.5] * 9, [0.5] * 9), 1.0)
        assert image["density_stderr"].values.tolist() == [[3.0]]
        assert image["density"].attrs["ancillary_variables"] == "density_stderr"
        fusion.check(image)

    def test_two_images_lie_on_one_grid(self):
        first, second = (volumes.density(points([at, at + 1], [0.0, 1.0]), "10 nm") for at in (0.0333, 0.5777))
        shift = (first["y"].values[0] - second["y"].values[0]) / 0.01
        assert shift == pytest.approx(round(shift), abs=1e-6)

    def test_each_pixel_is_the_integral_of_its_gaussians(self):
        """Against erf, with widths that differ along y and x, and corners that make the image wide."""
        y, x, sy, sx = [3.2, 0.5, 7.5], [4.7, 0.5, 9.5], [0.8, 0.3, 1.1], [1.3, 0.2, 0.4]
        image = volumes.density(points(y, x, y_stderr=sy, x_stderr=sx), 0.5, method="gaussian")
        cells = np.zeros((3, *image["density"].shape))
        for k in range(3):
            for i, row in enumerate(image["y"].values):
                for j, column in enumerate(image["x"].values):
                    cells[k, i, j] = part(row, y[k], sy[k]) * part(column, x[k], sx[k])
        np.testing.assert_allclose(image["density"] * 0.25, cells.sum(0), atol=1e-8)
        np.testing.assert_allclose(image["density_stderr"] * 0.25, np.sqrt((cells**2).sum(0)), atol=1e-8)
        assert image["density"].attrs["cell_methods"] == "y: x: mean"
        assert image["density"].attrs["units"] == fusion.units.parse("1/um^2")

    def test_gaussians_well_inside_add_up_to_their_number(self):
        rng = np.random.default_rng(1)
        y, x = rng.uniform(1, 3, (2, 50))
        ends = [0.0, 4.0]
        sigma = [*rng.uniform(0.01, 0.1, 50), 1e-3, 1e-3]
        ds = points([*y, *ends], [*x, *ends], y_stderr=sigma, x_stderr=sigma)
        image = volumes.density(ds, "20 nm", method="gaussian")["density"]
        # three quarters of the point at 0, 0 lie outside the image, whose corner it is
        assert float(image.sum()) * 0.02**2 == pytest.approx(51.25, abs=1e-6)

    def test_far_narrower_than_a_pixel_it_is_the_histogram(self):
        rng = np.random.default_rng(2)
        y, x = rng.uniform(0, 5, (2, 300))
        y, x = (np.floor(at) + 0.25 + 0.5 * (at % 1) for at in (y, x))
        ds = points(y, x, y_stderr=1e-6, x_stderr=1e-6)
        np.testing.assert_allclose(
            volumes.density(ds, 1.0, method="gaussian")["density"], volumes.density(ds, 1.0)["density"]
        )

    def test_a_million_points(self):
        rng = np.random.default_rng(3)
        y, x = rng.uniform(0, 20, (2, 10**6))
        ds = points(y, x, y_stderr=0.01, x_stderr=0.01)
        assert int(volumes.density(ds, "10 nm")["density"].sum()) == 10**6
        image = volumes.density(ds, "10 nm", method="gaussian")["density"]
        assert float(image.sum()) * 1e-4 == pytest.approx(10**6, rel=2e-3)

    def test_pose_and_history_stay(self):
        ds = points([0.5], [0.5], pose=Affine.translation(y=7.0), frame="stage")
        image = volumes.density(ds.assign_attrs(technique="SMLM"), "100 nm")
        pose, frame = get_pose(image)
        assert frame == "stage"
        assert pose.matrix[1, 3] == 7.0
        assert image.attrs["technique"] == "SMLM"
        assert "volumes.density" in image.attrs["history"]

    def test_points_without_a_place_are_left_out(self):
        ds = points([0.5, np.nan, 1.5], [0.5, 0.5, np.inf])
        assert int(volumes.density(ds, 1.0)["density"].sum()) == 1

    def test_lazy_and_read_only_points(self):
        ds = points([0.5, 2.5], [0.5, 0.5], y_stderr=0.1, x_stderr=0.1)
        expected = volumes.density(ds, 1.0, method="gaussian")
        np.testing.assert_array_equal(
            volumes.density(ds.chunk(), 1.0, method="gaussian")["density"], expected["density"]
        )
        for name in ("y", "x"):
            ds[name].values.flags.writeable = False
        np.testing.assert_array_equal(volumes.density(ds, 1.0, method="gaussian")["density"], expected["density"])

    @pytest.mark.parametrize(
        ("change", "options", "error", "reason"),
        [
            ({}, {"method": "voronoi"}, DataError, "histogram, gaussian"),
            ({}, {"pixel": "0 nm"}, UnitError, "positive length"),
            ({}, {"pixel": "3 s"}, UnitError, "cannot convert"),
            ({}, {"pixel": "1e-6 nm"}, DataError, "too large"),
            ({"x_stderr": None}, {"method": "gaussian"}, DataError, "no variable 'x_stderr'"),
            ({"x_stderr": 0.0}, {"method": "gaussian"}, DataError, "2 of 2 points have no positive x_stderr"),
            ({"y": [np.nan, np.nan]}, {}, DataError, "no point with a finite position among 2"),
        ],
    )
    def test_refusals(self, change, options, error, reason):
        given = {"y": [0.5, 2.5], "x": [0.5, 0.5], "y_stderr": 0.1, "x_stderr": 0.1} | change
        with pytest.raises(error, match=reason):
            volumes.density(points(**given), **{"pixel": 1.0, **options})

    def test_no_points_and_pixels(self, tmp_path):
        with pytest.raises(DataError, match="no point"):
            volumes.density(volumes.open(thunderstorm(tmp_path)), 1.0)
        image = volumes.density(points([0.5, 2.5], [0.5, 0.5]), 1.0)
        with pytest.raises(ConventionError, match="along 'point'"):
            volumes.density(image, 1.0)

    def test_an_image_that_is_too_large_is_not_begun(self):
        tracemalloc.start()
        with pytest.raises(DataError, match="too large"):
            volumes.density(points([0.0, 1e6], [0.0, 1e6]), "1 nm")
        assert tracemalloc.get_traced_memory()[1] < 1e7
        tracemalloc.stop()

    def test_measured_localisations(self, measured):
        ds = volumes.open(measured("smlm/smap_dstorm_data.mat"))
        image = volumes.density(ds, "50 nm")
        assert int(image["density"].sum()) == 4884
        drawn = volumes.density(ds, "50 nm", method="gaussian")["density"]
        assert 0.95 * 4884 < float(drawn.sum()) * 0.05**2 < 4884


def part(centre, place, sigma, pixel=0.5):
    """Return the integral of a unit Gaussian over the pixel around `centre`."""
    low, high = ((centre + side * pixel / 2 - place) / (math.sqrt(2) * sigma) for side in (-1, 1))
    return 0.5 * (math.erf(high) - math.erf(low))


def test_pictures_of_points_are_explained(tmp_path):
    ds = points([0.5, 2.5], [0.5, 0.5])
    for draw in (volumes.render, lambda ds: volumes.picture(ds, tmp_path / "points.png"), volumes.to_pyvista):
        with pytest.raises(ConspectusError, match=r"volumes\.density"):
            draw(ds)
