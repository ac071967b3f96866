"""Larger pixels: sums and means, errors in quadrature, and centres where the specimen is."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis, DataError


def labelled(lazy=False):
    """Return a map of unequal sizes whose counts, intensities and labels have known errors, placed on a stage."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (4, 6, 10)).astype(np.uint16)
    sigma = rng.uniform(0.5, 1.0, (4, 6))
    axes = {"y": Axis("um", 0.5, 3.0), "x": Axis("um", 0.25, -1.0), "energy": Axis("keV", 0.1)}
    flags = {"flag_values": [0, 1, 4], "flag_meanings": "matrix grain hole"}
    variables = {
        "counts": (("y", "x", "energy"), da.from_array(counts, chunks=(3, 4, 10)) if lazy else counts),
        "image": (("y", "x"), rng.normal(size=(4, 6)), {"cell_methods": "y: x: mean"}),
        "image_stderr": (("y", "x"), sigma, {"cell_methods": "y: x: mean"}),
        "phase": (("y", "x"), np.array([0, 1, 4])[rng.integers(0, 3, (4, 6))], flags),
    }
    return fusion.dataset(
        variables, axes, name="map", cell_methods={"counts": "sum"}, pose=Affine.rotation(30.0), frame="stage"
    )


def blocks(values, y, x):
    return values.reshape(values.shape[0] // y, y, values.shape[1] // x, x, *values.shape[2:])


def test_counts_are_conserved_and_means_are_not_summed():
    ds = labelled()
    coarse = fusion.coarsen(ds, y=2, x=3)
    assert coarse["counts"].sum() == ds["counts"].sum()
    np.testing.assert_array_equal(coarse["counts"], blocks(ds["counts"].values.astype(int), 2, 3).sum(axis=(1, 3)))
    np.testing.assert_allclose(coarse["image"], blocks(ds["image"].values, 2, 3).mean(axis=(1, 3)))
    assert coarse["counts"].attrs == ds["counts"].attrs
    lazy = fusion.coarsen(labelled(lazy=True), y=2, x=3)
    assert lazy["counts"].chunks is not None
    np.testing.assert_array_equal(lazy["counts"], coarse["counts"])


def test_errors_are_those_of_many_trials():
    rng = np.random.default_rng(1)
    ds = labelled()
    coarse = fusion.coarsen(ds, y=2, x=3)
    trials = rng.normal(ds["image"].values, ds["image_stderr"].values, (4000, 4, 6))
    scatter = trials.reshape(4000, 2, 2, 2, 3).mean(axis=(2, 4)).std(axis=0)
    np.testing.assert_allclose(coarse["image_stderr"], scatter, rtol=0.05)
    summed = ds.assign(image=ds["image"].assign_attrs(cell_methods="y: x: sum"))
    np.testing.assert_allclose(fusion.coarsen(summed, y=2, x=3)["image_stderr"], 6.0 * scatter, rtol=0.05)


def test_the_middle_of_a_block_stays_where_it_is():
    ds = labelled()
    coarse = fusion.coarsen(ds, y=2, x=4, boundary="trim")
    np.testing.assert_allclose(coarse["y"], [3.25, 4.25])
    np.testing.assert_allclose(coarse["x"], [-0.625])
    corners = [[0.0, *ds["y"].values[:2].repeat(4)[[at]], ds["x"].values[:4][at % 4]] for at in range(8)]
    placed = fusion.get_pose(ds)[0](np.array(corners)).mean(axis=0)
    centre = fusion.get_pose(coarse)[0]([0.0, float(coarse["y"][0]), float(coarse["x"][0])])
    np.testing.assert_allclose(centre, placed, atol=1e-12)
    assert fusion.get_pose(coarse)[1] == "stage"


def test_channels_become_wider():
    coarse = fusion.coarsen(labelled(), energy=5)
    np.testing.assert_allclose(coarse["energy"], [0.2, 0.7])
    assert coarse["image"].identical(labelled()["image"]) or (coarse["image"] == labelled()["image"]).all()


def test_the_most_frequent_label_is_kept():
    ds = labelled()
    ds["phase"][:2, :3] = [[4, 4, 1], [0, 4, 4]]
    assert int(fusion.coarsen(ds, y=2, x=3)["phase"][0, 0]) == 4


def test_a_window_with_a_hole_is_unknown():
    ds = labelled()
    ds["image"][0, 0] = np.nan
    coarse = fusion.coarsen(ds, y=2, x=3)["image"]
    assert bool(coarse[0, 0].isnull())
    assert int(coarse.isnull().sum()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"x": 4}, "6 pixels are no multiple of 4; boundary='trim' leaves out the last 2"), ({}, "no dim to coarsen"),
     ({"z": 2}, "no axis 'z' to coarsen; the axes are y, x, energy"), ({"x": 1.5}, "whole number from 1 to 6"),
     ({"x": 7}, "from 1 to 6"), ({"x": 2, "boundary": "pad"}, "unknown boundary 'pad'")],
)  # fmt: skip
def test_refusals(options, message):
    with pytest.raises(DataError, match=message):
        fusion.coarsen(labelled(), **options)


def test_components_are_not_pixels():
    axes = {"x": Axis("um", 1.0), "component": [0, 1]}
    ds = fusion.dataset({"abundance": (("x", "component"), np.ones((4, 2)))}, axes, name="map", cell_methods="mean")
    with pytest.raises(DataError, match="no axis 'component'"):
        fusion.coarsen(ds, component=2)
    xr.testing.assert_equal(fusion.coarsen(ds, x=2)["component"], ds["component"])
