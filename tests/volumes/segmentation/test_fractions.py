"""Fractions: intervals that hold where the mean of probabilities is far off; shares of coarse cells."""

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import ConventionError, DataError
from fusion.model import Axis, dataset
from tests.makers.segmented import STEPS, image, judge, segmented


def biased(seed=0, shape=(120, 150)):
    """Return a segmentation that says 0.3 where 0.1 is true, and the truth."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    truth = field > np.quantile(field, 0.9)
    share = 1 / (1 + np.exp(-(field / field.std() - 0.7) * 1.5))
    return segmented(share), truth


class TestPhaseFraction:
    def test_intervals_hold_and_are_narrower_than_counting_points(self):
        result, truth = biased()
        phi, held, mine, alone = truth.mean(), 0, [], []
        for seed in range(250):
            points = judge(volumes.random_points(result, 100, seed=seed), truth, result)
            found = volumes.phase_fraction(result, points).sel(component="cell")
            held += float(found["low"]) <= phi <= float(found["high"])
            mine.append(float(found["fraction"]))
            share = float((points["label"] == 2).mean())
            alone.append(np.sqrt(share * (1 - share) / 100))
        assert 0.91 <= held / 250 <= 0.98
        assert np.mean(mine) == pytest.approx(phi, abs=3 * np.std(mine) / np.sqrt(250))
        assert float(found["uncorrected"]) > 2.5 * phi
        assert float(found["fraction_stderr"]) < np.mean(alone)

    def test_without_judged_points_the_error_is_not_known(self):
        result, _ = biased()
        found = volumes.phase_fraction(result)
        np.testing.assert_allclose(found["fraction"], result["probability"].mean(("y", "x")))
        assert all(np.isnan(found[name]).all() for name in ("fraction_stderr", "low", "high"))
        assert found.attrs["points"] == 0

    def test_the_mean_of_many_voxels_is_not_rounded_away(self):
        """Added up in float32, nine million times 0.3 have a mean of 0.27."""
        result = segmented(np.broadcast_to(np.float32(0.3), (3000, 3000)))
        assert result["probability"].dtype == np.float32
        assert float(volumes.phase_fraction(result)["fraction"].sel(component="cell")) == pytest.approx(0.3, rel=1e-6)

    def test_fractions_add_up_and_points_nobody_could_judge_do_not_count(self):
        result, truth = biased()
        points = judge(volumes.random_points(result, 60), truth, result)
        points["label"][:10] = -1
        found = volumes.phase_fraction(result, points)
        assert float(found["fraction"].sum()) == pytest.approx(1.0)
        assert found.attrs["points"] == 50

    def test_a_class_that_no_point_met_may_still_be_there(self):
        """The rule of three: none in 100 says at most 3 %."""
        result = segmented(np.zeros((50, 60)))
        points = judge(volumes.random_points(result, 100), np.zeros((50, 60), bool), result)
        found = volumes.phase_fraction(result, points).sel(component="cell")
        assert float(found["high"]) == pytest.approx(0.03, rel=0.05)

    def test_it_refuses(self):
        result, truth = biased()
        chosen = judge(volumes.suggest(result, 30, apart="10 nm"), truth, result)
        with pytest.raises(DataError, match=r"chosen at random are needed.* received 'suggested'"):
            volumes.phase_fraction(result, chosen)
        with pytest.raises(DataError, match="0 points were judged, and at least 10"):
            volumes.phase_fraction(result, volumes.random_points(result, 50))
        with pytest.raises(ConventionError, match=r"as volumes.segment gives them"):
            volumes.phase_fraction(image(np.zeros((4, 5))))
        strange = judge(volumes.random_points(result, 50), truth, result)
        strange["label"].attrs["flag_meanings"] = "resin bubble outside"
        with pytest.raises(DataError, match=r"the classes \['bubble'\] are not among"):
            volumes.phase_fraction(result, strange)


class TestPoints:
    def test_random_points_are_voxels_each_as_likely(self):
        ds = image(np.zeros((3, 4, 5)))
        counts = np.zeros((3, 4, 5))
        for seed in range(600):
            points = volumes.random_points(ds, 6, seed=seed)
            index = [np.rint((points[d].values - 0.1) / STEPS[d]).astype(int) for d in ("z", "y", "x")]
            np.add.at(counts, tuple(index), 1)
        assert counts.sum() == 3600
        assert ((counts - 60) ** 2 / 60).sum() < 100  # chi-squared with 59 degrees of freedom

    def test_suggestions_are_apart_and_in_doubt(self):
        result, _ = biased()
        points = volumes.suggest(result, 12, apart="60 nm")
        at = np.stack([points["y"].values, points["x"].values], axis=1)
        distances = np.linalg.norm(at[:, None] - at, axis=-1)[np.triu_indices(12, 1)]
        assert distances.min() >= 0.06
        share = result["probability"].sel(component="cell")
        there = share.sel(y=points["y"], x=points["x"], method="nearest")
        assert float(abs(there - 0.5).mean()) < float(abs(share - 0.5).mean()) - 0.1
        np.testing.assert_array_equal(volumes.suggest(result, 12, apart=0.06)["x"], points["x"])

    def test_they_refuse(self):
        result, _ = biased()
        with pytest.raises(DataError, match="from 1 to 18000"):
            volumes.random_points(result, 0)
        with pytest.raises(DataError, match="no class is in doubt"):
            volumes.suggest(segmented(np.zeros((5, 6))))
        with pytest.raises(DataError, match="by is one of entropy, disagreement"):
            volumes.suggest(result, by="chance")


def test_calibrated_probabilities_mean_what_they_say():
    result, truth = biased(shape=(200, 200))
    points = judge(volumes.random_points(result, 400), truth, result)
    better = volumes.calibrate_probability(result, points)

    def error(ds):
        share = ds["probability"].sel(component="cell").values.ravel()
        bins = np.minimum((share * 10).astype(int), 9)
        return np.abs(np.bincount(bins, share, 10) - np.bincount(bins, truth.ravel(), 10)).sum() / truth.size

    assert error(result) > 0.15
    assert error(better) < 0.05
    np.testing.assert_allclose(better["probability"].sum("component"), 1.0)
    assert ((better["label"] == 2) == truth).mean() > ((result["label"] == 2) == truth).mean()
    assert better["probability"].attrs["calibration"] == "by 400 judged points"


class TestPartialVolume:
    def grid(self, count=(7, 6), step=(0.0183, 0.0257), offset=(0.1, 0.1)):
        own = {dim: Axis("um", s, offset=o) for dim, s, o in zip("yx", step, offset, strict=True)}
        return dataset({"map": (("y", "x"), np.ones(count))}, own, name="map", cell_methods="mean", frame="stage")

    def test_the_volume_of_a_class_is_kept(self):
        share = np.random.default_rng(0).random((25, 22))
        result = segmented(share, frame="stage")
        grid = self.grid(count=(9, 9), offset=(0.08, 0.08))
        found = volumes.partial_volume(result, grid)
        cell = 0.0183 * 0.0257
        volume = (found["fraction"].fillna(0.0).sel(component="cell") * found["coverage"]).sum() * cell
        assert float(volume) == pytest.approx(share.sum() * STEPS["y"] * STEPS["x"], rel=1e-9)
        np.testing.assert_allclose(found["fraction"].sum("component").values[found["coverage"] > 0], 1.0)

    def test_a_share_is_exact_to_the_part_of_a_voxel(self):
        """A cell of 2.5 voxels, of which one and a half are of the class."""
        result = segmented(np.array([[0.0, 0.0, 0.0, 1.0, 1.0]] * 2), steps={"y": 1.0, "x": 1.0}, frame="stage")
        grid = self.grid(count=(2, 2), step=(1.0, 2.5), offset=(0.1, 0.85))
        found = volumes.partial_volume(result, grid)["fraction"].sel(component="cell")
        np.testing.assert_allclose(found.values, [[0.0, 2.0 / 2.5]] * 2, atol=1e-9)

    def test_without_calibration_the_error_is_not_known(self):
        found = volumes.partial_volume(segmented(np.full((30, 30), 0.5), frame="stage"), self.grid(count=(3, 3)))
        assert np.isnan(found["fraction_stderr"]).all()

    def test_errors_hold_where_objects_are_right_or_wrong_as_one(self):
        """The truth follows the probabilities, in patches: of 25 cells with 2 errors, 95 % hold; voxels alone 40 %."""
        from scipy.ndimage import gaussian_filter
        from scipy.special import ndtr

        rng = np.random.default_rng(3)
        held, naive = [], []
        for _ in range(8):
            known, hidden = (gaussian_filter(rng.normal(size=(200, 200)), 6, mode="wrap") for _ in range(2))
            share = ndtr(1.3 * known / known.std())
            truth = ndtr(hidden / hidden.std()) < share
            result = segmented(share, steps={"y": 1.0, "x": 1.0}, calibration="by 400 judged points", frame="stage")
            grid = self.grid(count=(5, 5), step=(40.0, 40.0), offset=(19.6, 19.6))
            found = volumes.partial_volume(result, grid).sel(component="cell")
            off = np.abs(found["fraction"] - truth.reshape(5, 40, 5, 40).mean((1, 3)))
            held.append((off <= 2 * found["fraction_stderr"]).mean())
            naive.append((off <= 2 * np.sqrt((share * (1 - share)).reshape(5, 40, 5, 40).mean((1, 3)) / 1600)).mean())
        assert 0.88 <= np.mean(held) <= 1.0
        assert np.mean(naive) < 0.6

    def test_its_fractions_are_what_phase_spectra_takes(self):

        share = np.zeros((12, 12))
        share[:, 5:] = 1.0
        result = segmented(share, steps={"y": 1.0, "x": 1.0}, frame="stage")
        grid = self.grid(count=(6, 6), step=(2.0, 2.0), offset=(0.6, 0.6))
        fractions = volumes.partial_volume(result, grid)
        assert fractions["fraction"].dims == ("y", "x", "component")
        assert list(fractions["component"].values) == ["resin", "cell"]
        assert fusion.check(fractions) is fractions
