"""Pictures of a registration hold what was registered: edges that go on, arrows to scale, contours of the error."""

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import DataError, FrameError


def disc(centre, name, shape=(60, 80), step=0.1, direction=""):
    y, x = np.indices(shape) * step
    values = 0.1 + (np.hypot(y - centre[0], x - centre[1]) < 1.2)
    axes = {"y": fusion.Axis("um", step, direction=direction), "x": fusion.Axis("um", step)}
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name=name, cell_methods="mean")


def registered(noise=0.02, **options):
    rng = np.random.default_rng(0)
    moving = rng.uniform([0.0, 0.0], [6.0, 8.0], (12, 2))
    fixed = moving + np.array([0.5, -0.8]) + rng.normal(0.0, noise, moving.shape)
    return moving, fixed, fusion.register_landmarks(moving, fixed, model="rigid", **options)


class TestAlignment:
    def test_the_two_agree_after_and_not_before(self):
        moving, fixed = disc((3.0, 4.0), "light"), disc((3.5, 3.2), "electrons")
        figure = volumes.plot_alignment(moving, fixed, fusion.Affine.translation(y=0.5, x=-0.8))
        before, _, after, blend = (ax.get_images()[0].get_array() for ax in figure.axes)
        truth = np.asarray(fixed["image"])[6:54, :70]
        scaled = (truth - truth.min()) / np.ptp(truth)
        assert np.abs(np.asarray(after)[6:54, :70] - scaled).mean() < 0.01
        assert np.abs(np.asarray(before)[6:54, :70] - scaled).mean() > 0.03
        # orange and blue light together are pale, and dark where there is neither
        middle = np.asarray(blend, dtype=float)[35, 32]
        assert middle.min() > 100
        assert np.ptp(middle) < 160
        assert [ax.get_title() for ax in figure.axes][2] == "after, in squares"

    def test_a_map_of_spectra_on_a_volume(self):
        tree = fusion.phantom(shape=(12, 60, 70), voxel=(0.03, 0.03, 0.03), map_shape=(20, 24))
        marks = tree["landmarks"]
        result = fusion.register_landmarks(marks["map"].values, marks["volume"].values, model="rigid")
        figure = volumes.plot_alignment(tree["map"].to_dataset(), tree["volume"].to_dataset(), result.transform)
        assert figure.axes[0].get_images()[0].get_array().shape == (60, 70)

    @pytest.mark.parametrize("direction", ["up", "down"])
    def test_y_points_as_the_fixed_one_shows_it(self, direction):
        moving, fixed = disc((3.0, 4.0), "a"), disc((3.5, 3.2), "b", direction=direction)
        figure = volumes.plot_alignment(moving, fixed, fusion.Affine.translation(y=0.5, x=-0.8))
        assert bool(figure.axes[0].yaxis_inverted()) is (direction == "down")

    def test_no_overlap_is_named_before_and_refused_after(self):
        moving, fixed = disc((3.0, 4.0), "a"), disc((3.5, 3.2), "b")
        far, near = fusion.Affine.translation(x=90.0), fusion.Affine.translation(y=0.5)
        figure = volumes.plot_alignment(moving, fixed, near, before=far)
        assert figure.axes[0].get_title() == "before, in squares: no overlap"
        with pytest.raises(DataError, match="do not overlap after"):
            volumes.plot_alignment(moving, fixed, far)


class TestResiduals:
    def test_arrows_lead_from_the_mapped_to_the_found_landmark(self):
        moving, fixed, result = registered()
        ax = volumes.plot_residuals(result, moving, disc((3.0, 4.0), "electrons")).axes[0]
        factor = float(ax.get_title().split("×")[1].split(",")[0])
        mapped = result.transform(np.pad(moving, ((0, 0), (1, 0))))[:, 1:]
        for note, start, stop in zip(ax.texts, mapped, fixed, strict=True):
            np.testing.assert_allclose(note.xyann[::-1], start, atol=1e-12)
            np.testing.assert_allclose(note.xy[::-1], start + factor * (stop - start), atol=1e-9)
        longest = factor * np.linalg.norm(fixed - mapped, axis=1).max()
        assert 0.3 < longest < 0.9  # of a field of 8 um

    def test_ellipses_hold_the_truth_as_the_registration_says(self):
        moving, _, result = registered(sigma=0.03)
        ax = volumes.plot_residuals(result, moving, level=0.9).axes[0]
        factor = float(ax.get_title().split("×")[1].split(",")[0])
        raised = np.pad(moving, ((0, 0), (1, 0)))
        edges = [line for line in ax.lines if len(line.get_xdata()) == 61]
        for at, line in zip(raised, edges, strict=True):
            middle = result.transform(at)
            offsets = np.stack([line.get_ydata(), line.get_xdata()], axis=-1) - middle[1:]
            covariance = result.transform.covariance_at(at)[1:, 1:]
            square = np.einsum("ni,ij,nj->n", offsets / factor, np.linalg.inv(covariance), offsets / factor)
            np.testing.assert_allclose(square, 4.605, rtol=1e-3)  # chi-squared of 2 at 90 %

    def test_dropped_pairs_stand_out_and_unknown_errors_have_no_ellipse(self):
        moving, fixed, _ = registered()
        fixed[4] += 1.0
        dropped = fusion.register_landmarks(moving, fixed, model="rigid", outliers="drop")
        ax = volumes.plot_residuals(dropped, moving).axes[0]
        colors = [note.arrow_patch.get_edgecolor() for note in ax.texts]
        assert [color == colors[4] for color in colors] == [n == 4 for n in range(12)]
        bare = fusion.register_landmarks(moving[:2], moving[:2] + 0.3, model="similarity")
        assert "errors are not known" in volumes.plot_residuals(bare, moving[:2]).axes[0].get_title()
        with pytest.raises(DataError, match="give the 12 moving landmarks"):
            volumes.plot_residuals(dropped, moving[:3])


class TestExpectedError:
    def test_the_field_is_the_error_of_the_transform(self):
        moving, _, result = registered()
        ds = disc((3.0, 4.0), "light")
        ax = volumes.plot_expected_error(result.transform, ds, moving).axes[0]
        field = ax.get_images()[1]
        left, _, low, _ = field.get_extent()
        corner = result.tre([[low, left]]).values[0]
        factor = 1000.0 if "nm" in ax.figure.axes[1].get_ylabel() else 1.0
        assert float(field.get_array()[0, 0]) == pytest.approx(factor * corner, rel=1e-6)
        assert ax.yaxis_inverted()
        assert float(field.get_array().min()) < float(field.get_array()[0, 0])

    def test_an_unknown_error_is_not_drawn(self):
        with pytest.raises(FrameError, match="is not known"):
            volumes.plot_expected_error(fusion.Affine(np.eye(4)), disc((3.0, 4.0), "light"))
