"""Profiles and oblique slices against fields whose values are known everywhere."""

import numpy as np
import pytest
import xarray as xr

import fusion
import volumes
from fusion.errors import DataError, FrameError

STEPS = {"z": 0.5, "y": 0.3, "x": 0.2}
SHAPE = (9, 14, 21)


def linear(at):
    """Return a field that linear interpolation reproduces."""
    return 3.0 + 2.0 * at[..., 0] - 1.5 * at[..., 1] + 0.7 * at[..., 2]


def volume(pose=None, name="volume", frame="stage"):
    centres = [np.arange(n) * STEPS[dim] for n, dim in zip(SHAPE, "zyx", strict=True)]
    at = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1)
    axes = {dim: fusion.Axis("um", step) for dim, step in STEPS.items()}
    labels = (at[..., 2] > 2.0).astype(np.int32)
    variables = {
        "image": (("z", "y", "x"), linear(at), {"ancillary_variables": "image_stderr"}),
        "image_stderr": (("z", "y", "x"), np.full(SHAPE, 0.5)),
        "phase": (("z", "y", "x"), labels, {"flag_values": [0, 1], "flag_meanings": "left right"}),
    }
    return fusion.dataset(variables, axes, name=name, cell_methods={"image": "mean", "image_stderr": "mean"},
                          pose=pose, frame=frame)  # fmt: skip


def flat(name="map", pose=None, frame="stage", **counts):
    rng = np.random.default_rng(0)
    amounts = rng.poisson(40.0, (8, 10, 2)).astype(float)
    axes = {"y": fusion.Axis("um", 0.5), "x": fusion.Axis("um", 0.5), "component": ["iron", "oxygen"]}
    variables = {
        "abundance": (("y", "x", "component"), amounts, {"units": "count", "ancillary_variables": "abundance_stderr"}),
        "abundance_stderr": (("y", "x", "component"), np.sqrt(amounts + 1), {"units": "count"}),
    }
    return fusion.dataset(variables, axes, name=name, cell_methods="sum", pose=pose, frame=frame)


class TestProfile:
    def test_values_and_errors_along_an_oblique_line(self):
        ds = volume()
        start, stop = np.array([0.3, 0.4, 0.1]), np.array([3.4, 2.9, 3.6])
        result = volumes.profile(ds, start, stop)
        assert result["x"].attrs["long_name"] == "distance"
        share = result["x"].values / np.linalg.norm(stop - start)
        at = start + share[:, None] * (stop - start)
        np.testing.assert_allclose(result["image"].values, linear(at), rtol=1e-5)
        index = at / [STEPS[dim] for dim in "zyx"]
        low = index - np.floor(index)
        shrink = np.sqrt(np.prod(low**2 + (1 - low) ** 2, axis=1))
        np.testing.assert_allclose(result["image_stderr"].values, 0.5 * shrink, rtol=1e-5)
        assert set(np.unique(result["phase"])) == {0, 1}
        pose, frame = fusion.get_pose(result)
        assert frame == "stage"
        along = np.stack([np.zeros(share.size), np.zeros(share.size), result["x"].values], axis=-1)
        np.testing.assert_allclose(pose(along), at, atol=1e-12)

    def test_counts_are_read_as_the_intensity_of_a_pixel(self):
        ds = flat()
        result = volumes.profile(ds, (1.0, 0.0), (1.0, 4.5), step=0.5)
        np.testing.assert_allclose(result["abundance"].values, ds["abundance"].values[2])
        np.testing.assert_allclose(result["abundance_stderr"].values, ds["abundance_stderr"].values[2])
        assert "mean" in result["abundance"].attrs["cell_methods"]

    def test_outside_is_not_known(self):
        result = volumes.profile(volume(), (1.0, 1.0, -1.0), (1.0, 1.0, 2.0))
        assert np.isnan(result["image"].values[:4]).all()
        assert result["phase"].values[0] == -1

    def test_every_modality_that_the_line_crosses(self):
        turned = fusion.Affine.translation(z=0.2, x=0.5) @ fusion.Affine.rotation(20.0, axis=(1.0, 0.3, 0.0))
        lifted = fusion.Affine.translation(z=40.0)
        tree = xr.DataTree.from_dict({
            "/volume": volume(), "/turned": volume(turned, "turned"), "/map": flat(pose=lifted),
            "/note": xr.Dataset({"note": ((), 1.0)}),
        })  # fmt: skip
        result = volumes.profile(tree, (1.0, 1.0, 0.7), (2.5, 2.0, 3.0), step=0.25)
        assert list(result.children) == ["volume", "turned"]
        assert result.attrs["left_out"] == "note (no image or volume); map (not on the line)"
        at = np.array([1.0, 1.0, 0.7]) + result["volume"]["x"].values[:, None] * np.array(
            [1.5, 1.0, 2.3]
        ) / np.linalg.norm([1.5, 1.0, 2.3])
        np.testing.assert_allclose(result["volume"]["image"], linear(at), rtol=1e-5)
        own = turned.inverse()(at)
        inside = np.isfinite(result["turned"]["image"].values)
        assert inside.sum() > 5
        np.testing.assert_allclose(result["turned"]["image"].values[inside], linear(own)[inside], rtol=1e-5)
        np.testing.assert_array_equal(result["volume"]["x"], result["turned"]["x"])

    def test_the_error_of_the_position_comes_along(self):
        spread = np.zeros((12, 12))
        spread[[3, 7, 11], [3, 7, 11]] = 0.01, 0.04, 0.04
        result = volumes.profile(flat(pose=fusion.Affine(np.eye(4), covariance=spread)), (0.0, 0.0), (1.0, 2.0))
        np.testing.assert_allclose(result["position_stderr"], 0.3)
        exact = volumes.profile(flat(), (0.0, 0.0), (1.0, 2.0))
        assert "position_stderr" not in exact

    @pytest.mark.parametrize(
        ("start", "stop", "reason"),
        [
            ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), "2 to 100,000 steps"),
            ((1.0, 1.0), (2.0, 2.0), "start is z, y, x in um"),
            ((90.0, 1.0, 1.0), (91.0, 1.0, 1.0), "misses|covers no point"),
            ((np.nan, 1.0, 1.0), (91.0, 1.0, 1.0), "start is z, y, x"),
        ],
    )
    def test_refusals(self, start, stop, reason):
        with pytest.raises(DataError, match=reason):
            volumes.profile(volume(), start, stop)

    def test_a_tree_of_several_frames(self):
        tree = xr.DataTree.from_dict({"/a": volume(), "/b": flat(frame="another")})
        with pytest.raises(FrameError, match="a in stage, b in another"):
            volumes.profile(tree, (0, 0, 0), (1, 1, 1))


class TestSlice:
    @pytest.mark.parametrize(("dim", "normal"), [("z", (1, 0, 0)), ("y", (0, -2, 0)), ("x", (0, 0, 1))])
    def test_planes_of_voxels_are_those_of_the_volume(self, dim, normal):
        ds = volume()
        through = [float(ds[d][2]) for d in "zyx"]
        result = volumes.slice(ds, through, normal)
        expected = ds["image"].isel({dim: 2})
        rows, columns = {"z": ("y", "x"), "y": ("z", "x"), "x": ("z", "y")}[dim]
        at = fusion.get_pose(result)[0](
            np.stack(np.meshgrid(0.0, result["y"].values, result["x"].values, indexing="ij"), axis=-1)[0]
        )
        seen = np.isfinite(result["image"].values)
        np.testing.assert_allclose(result["image"].values[seen], linear(at)[seen], rtol=1e-5)
        assert (np.diff(at[..., "zyx".index(columns)], axis=1) > 0).all()
        assert (np.diff(at[..., "zyx".index(rows)], axis=0) > 0).all()
        reach = [float(np.ptp(expected[d].values)) + STEPS[d] for d in (rows, columns)]
        np.testing.assert_allclose([result.sizes["y"] * 0.2, result.sizes["x"] * 0.2], reach, atol=0.11)

    def test_an_oblique_plane_fills_its_cut_through_the_box(self):
        pose = fusion.Affine.rotation(30.0, axis=(0.0, 1.0, 0.0))
        ds = volume(pose)
        normal = np.array([1.0, 0.6, -0.3])
        result = volumes.slice(ds, (2.0, 2.0, 2.0), normal, step=0.1)
        placed, frame = fusion.get_pose(result)
        own = pose.inverse()(
            placed(np.stack(np.meshgrid(0.0, result["y"].values, result["x"].values, indexing="ij"), axis=-1)[0])
        )
        np.testing.assert_allclose((own - 2.0) @ normal, 0.0, atol=1e-9)
        last = [(n - 1) * STEPS[dim] for n, dim in zip(SHAPE, "zyx", strict=True)]
        inside = ((own > 1e-6) & (own < np.array(last) - 1e-6)).all(axis=-1)
        values = result["image"].values
        assert np.isfinite(values[inside]).all()
        np.testing.assert_allclose(values[inside], linear(own)[inside], rtol=1e-5)
        assert inside.mean() > 0.4
        assert frame == "stage"
        assert np.linalg.det(placed.matrix[:3, :3]) == pytest.approx(1.0)
        columns = inside.any(axis=0), inside.any(axis=1)
        assert columns[0][3:-3].all()
        assert columns[1][3:-3].all()

    @pytest.mark.parametrize(
        ("through", "normal", "reason"),
        [
            ((0, 0, 0), (0, 0, 0), "not all zero"),
            ((50, 0, 0), (1, 0, 0), "misses volume"),
            ((0, 0, 0), (1, 0), "normal is"),
        ],
    )
    def test_refusals(self, through, normal, reason):
        with pytest.raises(DataError, match=reason):
            volumes.slice(volume(), through, normal)
        with pytest.raises(DataError, match="taken from a volume"):
            volumes.slice(flat(), (0, 0, 0), (1, 0, 0))


class TestFigures:
    def test_a_panel_for_each_modality_with_a_band_of_one_standard_error(self):
        tree = xr.DataTree.from_dict({"/volume": volume(), "/map": flat()})
        result = volumes.profile(tree, (0.0, 0.5, 0.3), (0.0, 2.0, 3.0))
        figure = volumes.plot(result, light=True)
        assert [ax.get_title(loc="left") for ax in figure.axes] == ["volume: image", "volume: phase", "map: abundance"]
        image, _, abundance = figure.axes
        (band,) = image.collections
        drawn = band.get_paths()[0].vertices
        values, error = result["volume"]["image"].values, result["volume"]["image_stderr"].values
        assert drawn[:, 1].max() == pytest.approx((values + error).max())
        assert drawn[:, 1].min() == pytest.approx((values - error).min())
        assert [line.get_label() for line in abundance.lines] == ["iron", "oxygen"]
        assert abundance.get_xlabel() == "distance (µm)"

    def test_the_options_of_a_figure(self, tmp_path):
        result = volumes.profile(flat(), (0.0, 0.0), (3.0, 4.0))
        assert len(volumes.plot(result, components=["oxygen"]).axes[0].lines) == 1
        assert volumes.picture(result, tmp_path / "line.png").path.stat().st_size > 1000
        with pytest.raises(DataError, match="no component 'gold'"):
            volumes.plot(result, components=["gold"])
        with pytest.raises(DataError, match="figure of their own"):
            volumes.plot(result, ax=volumes.plot(result).axes[0])
        with pytest.raises(DataError, match="lies on a line"):
            volumes.plot(xr.DataTree.from_dict({"/a": volume()}))

    def test_another_modality_over_a_slice(self):
        sliced = volumes.slice(volume(), (0.0, 1.0, 1.0), (1.0, 0.0, 0.0))
        assert len(volumes.plot(sliced, variable="image", overlay=flat()).axes) >= 1
