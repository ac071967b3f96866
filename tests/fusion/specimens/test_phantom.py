"""The phantom tells the truth: everything it claims is derived again from its labels."""

import warnings
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion.specimens.phantom import LINES, PHASES, YIELD

SMALL = {"shape": (6, 90, 100), "map_shape": (10, 12), "channels": 256, "shift": (0.18, 0.42), "counts": 400.0}


@cache
def tree() -> xr.DataTree:
    return fusion.phantom(**SMALL)  # type: ignore[arg-type]


def node(name: str) -> xr.Dataset:
    return tree()[name].to_dataset()


def without_times(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_attrs(history="")


def test_the_same_seed_gives_the_same_specimen_and_another_one_another() -> None:
    again, other = fusion.phantom(**SMALL), fusion.phantom(**SMALL, seed=1)  # type: ignore[arg-type]
    for name in tree().children:
        xr.testing.assert_identical(without_times(again[name].to_dataset()), without_times(node(name)))
    for name, variable in {"map": "counts", "volume": "image", "truth": "phase", "landmarks": "map"}.items():
        assert (other[name][variable].values != node(name)[variable].values).mean() > 0.05


def test_every_node_keeps_the_conventions() -> None:
    assert set(tree().children) == {"map", "volume", "truth", "map_truth", "landmarks"}
    assert fusion.check(tree()) is tree()
    assert (node("map")["counts"].dtype, node("map")["counts"].dims) == (np.uint16, ("y", "x", "energy"))
    assert node("map")["counts"].attrs["cell_methods"] == "y: x: sum"


def test_all_four_phases_are_there() -> None:
    shares = np.bincount(node("truth")["phase"].values.ravel(), minlength=4) / node("truth")["phase"].size
    assert len(shares) == len(PHASES) == 4
    assert (shares > 0.02).all()


def abundance_from(labels: xr.DataArray, pose: fusion.Affine, fine: int = 15) -> np.ndarray:
    """Count the labels that fall into each pixel of the map, in the upper two slices."""
    rows, columns, pixel = 10, 12, 0.05
    found = np.zeros((rows, columns, len(PHASES)))
    steps = ((np.arange(fine) + 0.5) / fine - 0.5) * pixel
    for i, j in np.ndindex(rows, columns):
        y, x = np.meshgrid(i * pixel + steps, j * pixel + steps, indexing="ij")
        places = pose(np.stack([np.zeros_like(y), y, x], axis=-1).reshape(-1, 3))
        at = {dim: xr.DataArray(places[:, k], dims="place") for k, dim in ((1, "y"), (2, "x"))}
        seen = labels.isel(z=slice(0, 2)).sel(at, method="nearest").values
        found[i, j] = np.bincount(seen.ravel(), minlength=len(PHASES)) / seen.size
    return found * SMALL["counts"] * np.array(YIELD)  # type: ignore[operator]


def test_the_true_abundance_follows_from_labels_and_pose() -> None:
    truth = node("map_truth")
    pose, frame = fusion.get_pose(truth)
    assert frame == fusion.get_pose(node("truth"))[1] == fusion.get_pose(node("volume"))[1] == "volume"
    derived = abundance_from(node("truth")["phase"], pose)
    wrong = abundance_from(node("truth")["phase"], fusion.Affine.translation(0.0, 0.25, 0.35))
    off = np.abs(derived - truth["abundance"].values).mean()
    assert off < 0.01 * SMALL["counts"]  # type: ignore[operator]
    assert np.abs(wrong - truth["abundance"].values).mean() > 5 * off
    assert truth["abundance"].values.sum(axis=-1).mean() == pytest.approx(400.0, rel=0.35)


def test_the_pose_is_the_shift_and_angle_that_were_asked_for() -> None:
    pose, _ = fusion.get_pose(node("map_truth"))
    assert pose.angle == pytest.approx(7.0)
    np.testing.assert_allclose(pose([0.0, 0.0, 0.0]), [0.0, 0.18, 0.42])
    np.testing.assert_allclose(pose([0.0, 0.0, 1.0]) - pose([0.0, 0.0, 0.0]),
                               [0.0, np.sin(np.deg2rad(7)), np.cos(np.deg2rad(7))])  # fmt: skip


def test_the_map_does_not_know_where_it_is() -> None:
    with pytest.raises(fusion.FrameError, match="share no frame"):
        fusion.between(node("map"), node("volume"))


def test_counts_are_poisson_around_the_truth() -> None:
    truth, counts = node("map_truth"), node("map")["counts"].values.astype(float)
    expected = truth["abundance"].values @ truth["endmember"].values
    assert counts.sum() == pytest.approx(expected.sum(), abs=4 * np.sqrt(expected.sum()))
    spectrum, mean = counts.sum(axis=(0, 1)), expected.sum(axis=(0, 1))
    pull = (spectrum - mean)[mean > 10] / np.sqrt(mean[mean > 10])
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert pull.std() == pytest.approx(1.0, abs=0.2)
    pixels = (counts.sum(axis=-1) - expected.sum(axis=-1)) / np.sqrt(expected.sum(axis=-1))
    assert pixels.std() == pytest.approx(1.0, abs=0.3)


def test_bright_specimens_do_not_wrap_around() -> None:
    bright = {**SMALL, "counts": 3e7, "channels": 64}
    counts = fusion.phantom(**bright)["map"]["counts"]  # type: ignore[arg-type]
    assert counts.max() > 2**16
    assert counts.values.sum() / counts.isel(energy=0).size == pytest.approx(3e7, rel=0.35)


def test_endmembers_are_spectra_of_unit_sum_with_their_lines() -> None:
    tree = fusion.phantom(**{**SMALL, "channels": 1024})  # type: ignore[arg-type]
    endmember = tree["map_truth"]["endmember"]
    np.testing.assert_allclose(endmember.sum("energy"), 1.0)
    assert (endmember.values >= 0).all()
    assert endmember["energy"].values[-1] == pytest.approx(10.24 - 0.005)
    for phase, line in {"hematite": 6.404, "copper": 8.048, "wollastonite": 1.740, "corundum": 1.487}.items():
        high = endmember.sel(component=phase, energy=slice(1.2, None))
        assert float(high["energy"][int(high.values.argmax())]) == pytest.approx(line, abs=0.011)
    peak = endmember.sel(component="hematite", energy=slice(6.1, 6.7))
    above = peak["energy"].values[peak.values > (peak.max().item() + peak.values[0]) / 2]
    assert above[-1] - above[0] == pytest.approx(np.sqrt(2.5 * (6404 - 5895) + 130**2) * 1e-3, abs=0.02)


def known_lines(element: str) -> Mapping[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HyperSpy warns of itself while it is imported
        from exspy.material import elements
    lines = elements[element]["Atomic_properties"]["Xray_lines"].as_dictionary()
    return {name: line["energy (keV)"] for name, line in lines.items()}


@pytest.mark.parametrize("element", LINES)
def test_line_energies_agree_with_the_element_database(element: str) -> None:
    known = np.array(list(known_lines(element).values()))
    for energy in LINES[element]:
        assert np.abs(known - energy).min() < 0.010, f"{element} {energy} keV"


def test_shares_of_the_elements_add_up() -> None:
    for phase in PHASES.values():
        assert sum(phase.values()) == pytest.approx(1.0)
        assert set(phase) <= set(LINES)


def test_landmarks_are_picked_with_the_errors_they_state() -> None:
    marks = fusion.phantom(**SMALL, landmarks=600)["landmarks"].to_dataset()  # type: ignore[arg-type]
    pose, _ = fusion.get_pose(node("map_truth"))
    residual = marks["volume"].values - pose(marks["map"].values)
    expected = np.hypot(marks["map_sigma"].values, marks["volume_sigma"].values)
    np.testing.assert_allclose(residual.std(axis=0), expected, rtol=0.12)
    assert np.abs(residual.mean(axis=0)).max() < 4 * expected.max() / np.sqrt(600)
    found = fusion.register_landmarks(marks["map"].values, marks["volume"].values, model="rigid",
                                      sigma=np.tile(expected, (600, 1)))  # fmt: skip
    corner = np.array([0.0, 0.45, 0.55])
    np.testing.assert_allclose(found.transform(corner), pose(corner), atol=5e-3)


def test_the_volume_shows_the_phases_by_their_grey() -> None:
    phase, grey = node("truth")["phase"].values, node("volume")["image"].values
    means = [grey[phase == k].mean() for k in range(4)]
    assert means == sorted(means)
    assert np.diff(means).min() > 15


@pytest.mark.parametrize(
    "change", [{"map_shape": (60, 12)}, {"shift": (5.0, 0.0)}, {"shift": (-0.1, 0.4)}, {"angle": 90.0}]
)
def test_a_map_that_leaves_the_face_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(fusion.DataError, match="leaves the face"):
        fusion.phantom(**{**SMALL, **change})  # type: ignore[arg-type]
