"""Objects: touching ones told apart, and their sizes and shapes against geometry, on voxels of unequal sides."""

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import ConventionError, DataError
from tests.makers.segmented import image, painted

STEPS = {"z": 0.02, "y": 0.01, "x": 0.0125}
CELLS = {"flag_values": [0, 1], "flag_meanings": "resin cell"}


def bodies(*centres, radii=(0.2, 0.2, 0.2), shape=(60, 90, 110), steps=STEPS):
    """Return labels 1 within ellipsoids with these half axes in um about centres in um, on the grid from 0.1 um."""
    at = np.meshgrid(*(0.1 + steps[d] * np.arange(n) for d, n in zip("zyx", shape, strict=True)), indexing="ij")
    inside = np.zeros(shape, int)
    for centre in centres:
        inside |= sum(((a - c) / r) ** 2 for a, c, r in zip(at, centre, radii, strict=True)) < 1
    return painted(inside, steps=steps, classes=CELLS, frame="stage")


def measured_once(*centres, radii=(0.2, 0.2, 0.2), border_error=None, **more):
    found = volumes.shapes(volumes.instances(bodies(*centres, radii=radii, **more), "cell"), border_error=border_error)
    return found, {name: found[name].values for name in found.data_vars}


class TestShapes:
    def test_a_ball_of_known_place_and_size(self):
        table, found = measured_once((0.6, 0.5, 0.75))
        assert [float(table[dim][0]) for dim in "zyx"] == pytest.approx([0.6, 0.5, 0.75], abs=1e-3)
        assert found["volume"] == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.01)
        assert found["equivalent_diameter"] == pytest.approx(0.4, rel=0.005)
        assert found["surface"] == pytest.approx(4 * np.pi * 0.2**2, rel=0.03)
        assert found["elongation"] == pytest.approx(1.0, abs=0.01)
        assert found["at_edge"].tolist() == [0]
        assert (table["volume"].attrs["units"], table["surface"].attrs["units"]) == ("um^3", "um^2")
        assert fusion.get_pose(table)[1] == "stage"

    def test_voxels_themselves_would_have_too_large_a_surface(self):
        """The peer: marching cubes through the labels."""
        from skimage.measure import marching_cubes, mesh_surface_area

        label = bodies((0.6, 0.5, 0.75))["label"].values
        corners, faces, _, _ = marching_cubes(label, 0.5, spacing=(0.02, 0.01, 0.0125))
        truth = 4 * np.pi * 0.2**2
        assert mesh_surface_area(corners, faces) > 1.05 * truth

    def test_an_ellipsoid_is_as_long_as_it_is(self):
        _, found = measured_once((0.6, 0.5, 0.75), radii=(0.15, 0.15, 0.45))
        assert found["elongation"] == pytest.approx(3.0, rel=0.02)

    def test_errors_are_what_moving_the_border_changes(self):
        _, small = measured_once((0.6, 0.5, 0.75), radii=(0.2, 0.2, 0.3))
        _, large = measured_once((0.6, 0.5, 0.75), radii=(0.22, 0.22, 0.32))
        _, found = measured_once((0.6, 0.5, 0.75), radii=(0.21, 0.21, 0.31), border_error="10 nm")
        for name in ("volume", "surface", "equivalent_diameter", "elongation"):
            half = abs(large[name] - small[name])[0] / 2
            assert found[f"{name}_stderr"][0] == pytest.approx(half, rel=0.15 if name != "elongation" else 0.4), name
        assert all(np.isnan(values).all() for name, values in small.items() if name.endswith("_stderr"))

    def test_an_image_has_areas_and_perimeters(self):
        y, x = np.mgrid[:80, :90]
        disk = ((y - 40) * 0.01) ** 2 + ((x - 45) * 0.0125) ** 2 < 0.3**2
        flat = painted(disk.astype(int), steps=STEPS, classes=CELLS)
        table = volumes.shapes(volumes.instances(flat, "cell"), border_error=0.01)
        assert float(table["area"][0]) == pytest.approx(np.pi * 0.09, rel=0.01)
        assert float(table["perimeter"][0]) == pytest.approx(2 * np.pi * 0.3, rel=0.01)
        assert float(table["area_stderr"][0]) == pytest.approx(2 * np.pi * 0.3 * 0.01, rel=0.01)

    def test_what_the_field_cuts_off_says_so(self):
        table, found = measured_once((0.6, 0.5, 0.75), (0.6, 0.5, 0.15))
        assert found["at_edge"][np.argsort(table["x"].values)].tolist() == [1, 0]

    def test_flag_values_come_in_any_order(self):
        label = np.zeros((20, 30), int)
        label[2:8, 2:8], label[10:16, 20:29] = 7, 3
        flags = {"flag_values": [7, 3, 0], "flag_meanings": "square oblong background"}
        found = volumes.shapes(painted(label, steps=STEPS, classes=flags))
        assert found["object"].values.tolist() == [3, 7]
        np.testing.assert_allclose(found["area"], np.array([54, 36]) * 0.01 * 0.0125)

    def test_a_speck_has_no_surface(self):
        label = np.zeros((5, 6, 7), int)
        label[2, 3, 3] = 1
        found = volumes.shapes(volumes.instances(painted(label, steps=STEPS, classes=CELLS), "cell"))
        assert np.isnan(found["surface"]).all()
        assert float(found["volume"][0]) == pytest.approx(0.02 * 0.01 * 0.0125)


class TestInstances:
    def test_touching_balls_are_two_and_a_rough_one_is_one(self):
        pair = bodies((0.6, 0.5, 0.55), (0.6, 0.5, 0.9))
        found = volumes.instances(pair, "cell")["instance"]
        assert found.attrs["flag_meanings"] == "background object_1 object_2"
        values = found.values
        assert values[25, 40, 36] != values[25, 40, 64]
        sizes = np.bincount(values.ravel())[1:]
        assert abs(sizes[0] / sizes[1] - 1) < 0.03
        rng = np.random.default_rng(0)
        rough = bodies((0.6, 0.5, 0.75))
        worn = rough["label"].values & (rng.random(rough["label"].shape) > 0.02)
        assert volumes.instances(painted(worn, steps=STEPS, classes=CELLS), "cell", neck="60 nm")["instance"].max() == 1

    def test_a_long_neck_keeps_them_together(self):
        assert (
            int(volumes.instances(bodies((0.6, 0.5, 0.55), (0.6, 0.5, 0.9)), "cell", neck=0.2)["instance"].max()) == 1
        )

    def test_every_voxel_of_the_class_is_in_one_object(self):
        label = (np.random.default_rng(1).random((6, 20, 25)) > 0.7).astype(int)
        ds = painted(label, steps=STEPS, classes=CELLS)
        found = volumes.instances(ds, "cell")["instance"].values
        np.testing.assert_array_equal(found > 0, label == 1)
        assert volumes.instances(ds, "cell", smallest=3)["instance"].max() < found.max()
        first = [int(np.flatnonzero(found.ravel() == k)[0]) for k in range(1, found.max() + 1)]
        assert first == sorted(first)

    def test_lazy_labels_give_equal_objects(self):
        ds = bodies((0.6, 0.5, 0.55), (0.6, 0.5, 0.9))
        np.testing.assert_array_equal(
            volumes.instances(ds.chunk(z=10), "cell")["instance"], volumes.instances(ds, "cell")["instance"]
        )

    def test_they_refuse(self):
        ds = painted(np.zeros((4, 5, 6), int), steps=STEPS, classes=CELLS)
        with pytest.raises(DataError, match="no voxel is of the class 'cell'"):
            volumes.instances(ds, "cell")
        with pytest.raises(DataError, match=r"no class 'virus'; there are \['resin', 'cell'\]"):
            volumes.instances(ds, "virus")
        with pytest.raises(ConventionError, match="one is needed, with flag_values"):
            volumes.instances(image(np.zeros((4, 5))), "cell")
        empty = ds.copy()
        empty["label"].attrs["flag_meanings"] = "background nothing"
        with pytest.raises(DataError, match="there is no object"):
            volumes.shapes(empty)
