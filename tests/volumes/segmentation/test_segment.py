"""Segmentation: scikit-learn's votes, known textures at known places, models in files, refusals."""

import numpy as np
import pytest

import fusion
import volumes
from fusion import provenance
from fusion.errors import ConventionError, DataError, FileReadError
from tests.makers.segmented import CLASSES, STEPS, image, judge, painted, two_textures
from volumes.segmentation.annotation import marks_on
from volumes.segmentation.forest import grow


@pytest.fixture(scope="module")
def textures():
    values, right = two_textures()
    marks = np.zeros(values.shape, int)
    marks[1, 5:55:2, 8:12] = 1
    marks[1, 5:55:2, 68:72] = 2
    return image(values), right, painted(marks)


def test_the_trees_vote_as_those_of_scikit_learn():
    from sklearn.ensemble import ExtraTreesClassifier

    rng = np.random.default_rng(0)
    known, others = rng.normal(size=(90, 4)).astype(np.float32), rng.normal(size=(300, 4)).astype(np.float32)
    labels = 3 + (known[:, 0] + 0.5 * rng.normal(size=90) > 0.8) + (known[:, 1] > 1.0)
    peer = ExtraTreesClassifier(20, min_samples_leaf=2, max_features=None, class_weight="balanced", random_state=7).fit(
        known, labels
    )
    votes = grow(known, labels, 20, 7).vote(others)
    np.testing.assert_allclose(votes[:, :-1], peer.predict_proba(others), atol=1e-6)
    each = np.stack([tree.predict_proba(others) for tree in peer.estimators_])
    entropy = lambda p: -(p * np.log(np.maximum(p, 1e-30))).sum(-1)  # noqa: E731
    np.testing.assert_allclose(votes[:, -1], entropy(each.mean(0)) - entropy(each).mean(0), atol=1e-5)


class TestSegment:
    def test_textures_of_one_brightness_are_told_apart(self, textures):
        ds, right, marks = textures
        result = volumes.segment(ds, marks, trees=30)
        assert ((result["label"] == 2) == right).mean() > 0.95
        assert result["label"].attrs["flag_meanings"] == "resin cell outside"
        assert list(result["component"].values) == ["resin", "cell"]
        np.testing.assert_allclose(result["probability"].sum("component"), 1.0, atol=1e-5)
        border = result["disagreement"][..., 36:44].mean()
        assert float(border) > float(result["disagreement"][..., :20].mean())

    def test_the_history_tells_how(self, textures):
        ds, _, marks = textures
        step = provenance.read(volumes.segment(ds, marks, trees=3, seed=5, smooth="5 nm"))["steps"][-1]
        wanted = {"variable": "image", "smooth": 0.005, "trees": 3, "seed": 5, "dims": ["y", "x"]}
        assert wanted.items() <= step["parameters"].items()
        assert len(step["parameters"]["annotation"]) == 64

    def test_the_history_of_a_trained_model_tells_what_it_is(self, textures):
        ds, _, marks = textures
        trained = volumes.train_classifier(ds, marks, trees=3, seed=5)
        parameters = provenance.read(volumes.segment(ds, model=trained))["steps"][-1]["parameters"]
        assert (parameters["trees"], parameters["annotation"]) == (3, trained.annotation)
        assert "seed" not in parameters  # a classifier does not know its own

    def test_a_lazy_volume_gives_an_equal_lazy_result(self, textures):
        ds, _, marks = textures
        eager = volumes.segment(ds, marks, trees=5, smooth="30 nm")
        lazy = volumes.segment(ds.chunk(z=1, y=20), marks, trees=5, smooth="30 nm")
        assert all(array.chunks is not None for array in lazy.data_vars.values())
        for name, array in lazy.data_vars.items():
            np.testing.assert_array_equal(array, eager[name])

    def test_a_seed_repeats_itself(self, textures):
        ds, _, marks = textures
        runs = [volumes.segment(ds.isel(z=[1]), marks, trees=5, seed=seed)["probability"] for seed in (1, 1, 2)]
        np.testing.assert_array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0], runs[2])

    def test_points_say_what_painted_pixels_say(self, textures):
        ds, _, marks = textures
        where = np.argwhere(marks["label"].values > 0)
        axes = {d: fusion.Axis("um", values=ds[d].values[where[:, k]]) for k, d in enumerate(("z", "y", "x"))}
        labels = marks["label"].values[tuple(where.T)]
        points = fusion.dataset({"label": ("point", labels, CLASSES)}, axes, name="clicks")
        section = marks.isel(z=1)
        results = [volumes.segment(ds, each, trees=5)["label"] for each in (marks, points, section)]
        np.testing.assert_array_equal(results[0], results[1])
        np.testing.assert_array_equal(results[0], results[2])

    def test_smoothing_reaches_across_sections_and_keeps_the_sum(self, textures):
        ds, _, marks = textures
        plain = volumes.segment(ds, marks, trees=5)["probability"]
        wide = volumes.segment(ds, marks, trees=5, smooth="50 nm")["probability"]
        np.testing.assert_allclose(wide.sum("component"), 1.0, atol=1e-5)
        assert float(wide.isel(component=1).std()) < float(plain.isel(component=1).std())
        alone = volumes.segment(ds.isel(z=[1]), marks.isel(z=[1]), trees=5, smooth="50 nm")["probability"]
        assert not np.allclose(wide[1], alone[0], atol=1e-3)

    def test_probabilities_are_averaged_where_strokes_left_out_allow_it(self, tmp_path):
        """Wide textures gain by it; stripes of three pixels would be lost in each other."""
        values = two_textures((1, 60, 80))[0][0]
        wide, narrow = np.zeros((60, 80), int), np.zeros((60, 80), int)
        for row in range(4, 56, 6):
            wide[row, 5:20], wide[row, 60:75] = 1, 2
        stripes = np.arange(60) // 3 % 2
        for row in range(1, 58, 3):
            narrow[row, 5:70] = 1 + stripes[row]
        noisy = stripes[:, None] + 0.2 * np.random.default_rng(0).normal(size=(60, 80))
        trained = volumes.train_classifier(image(values), painted(wide), trees=10)
        assert trained.smooth >= 0.01
        assert volumes.load_classifier(trained.save(tmp_path / "m.npz")).smooth == trained.smooth
        result = volumes.segment(image(values), model=trained)
        assert provenance.read(result)["steps"][-1]["parameters"]["smooth"] == trained.smooth
        assert volumes.train_classifier(image(noisy), painted(narrow), trees=10).smooth < 0.01

    def test_a_few_strokes_say_nothing_of_averaging(self, textures):
        ds, _, marks = textures
        few = marks.where(marks["y"] < 0.15, 0).astype(np.int32)
        few["label"].attrs = marks["label"].attrs
        assert volumes.train_classifier(ds, few, trees=5).smooth == 0.0

    def test_nan_is_no_class(self, textures):
        ds, _, marks = textures
        broken = ds.copy(deep=True)
        broken["image"][0, 3, 4] = np.nan
        result = volumes.segment(broken, marks, trees=5, smooth="5 nm")
        assert int(result["label"][0, 3, 4]) == -1
        assert np.isnan(result["probability"][0, 3, 4]).all()
        assert int(result["label"].isin([1, 2]).sum()) == result["label"].size - 1

    def test_the_pose_is_kept(self, textures):
        ds, _, marks = textures
        turned = fusion.set_pose(ds, fusion.Affine.rotation(30.0), "stage")
        pose, frame = fusion.get_pose(volumes.segment(turned, marks, trees=3))
        np.testing.assert_allclose(pose.matrix, fusion.Affine.rotation(30.0).matrix)
        assert frame == "stage"


class TestAnnotation:
    def test_positions_find_their_voxel_on_an_uneven_grid(self):
        ds = image(np.zeros((4, 6, 5)))
        marks = np.zeros((4, 6, 5), int)
        marks[2, 5, 1], marks[3, 0, 4] = 1, 2
        found = marks_on(ds["image"], painted(marks))
        assert found.indices.tolist() == [[2, 5, 1], [3, 0, 4]]
        assert found.labels.tolist() == [1, 2]

    def test_zero_is_a_class_where_it_has_a_name(self):
        marks = np.array([[0, 0, 255], [-1, -1, -1]])
        named = painted(marks, classes={"flag_values": [0, 255], "flag_meanings": "background cell"})
        assert marks_on(image(np.zeros((2, 3)))["image"], named).labels.tolist() == [0, 0, 255]

    def test_it_refuses(self):
        ds = image(np.random.default_rng(0).normal(size=(20, 30)))
        one = np.zeros((20, 30), int)
        one[:5] = 1
        few = one.copy()
        few[10, 10] = 2
        strange = one.copy()
        strange[12, 3] = 9
        with pytest.raises(DataError, match=r"at least two classes .* {'resin': 150, 'cell': 0}"):
            volumes.segment(ds, painted(one))
        with pytest.raises(DataError, match=r"at least 5 annotated voxels .* {'cell': 1}"):
            volumes.segment(ds, painted(few))
        with pytest.raises(DataError, match=r"the values \[9\] are no labels"):
            volumes.segment(ds, painted(strange))
        with pytest.raises(DataError, match="lie outside image along y"):
            volumes.segment(ds.isel(y=slice(0, 3)), painted(one))
        with pytest.raises(ConventionError, match="one is needed, with flag_values"):
            volumes.segment(ds, ds)
        with pytest.raises(ConventionError, match="label 1 is called 'resin' and 'rubber'"):
            volumes.segment(ds, [painted(one), painted(one, classes=CLASSES | {"flag_meanings": "rubber cell"})])
        with pytest.raises(DataError, match="either an annotation or a model"):
            volumes.segment(ds)


class TestClassifier:
    def test_a_file_brings_it_back_to_the_last_bit(self, textures, tmp_path):
        ds, _, marks = textures
        trained = volumes.train_classifier(ds, marks, trees=5)
        path = trained.save(tmp_path / "grain.npz")
        first, second = (volumes.segment(ds, model=each) for each in (trained, path))
        np.testing.assert_array_equal(first["probability"], second["probability"])
        assert volumes.load_classifier(path).annotation == trained.annotation
        assert not any("pickle" in str(array.dtype) for array in np.load(path, allow_pickle=False).values())

    def test_it_knows_what_it_was_trained_on(self, textures):
        ds, _, marks = textures
        trained = volumes.train_classifier(ds, marks, trees=3)
        coarse = image(ds["image"].values, steps={"z": 0.5, "y": 0.02, "x": 0.02})
        with pytest.raises(DataError, match="too large for the classifier"):
            volumes.segment(coarse, model=trained)
        even = image(ds["image"].values, steps=STEPS | {"z": 0.005})
        with pytest.raises(DataError, match="has features over z, y, x, and the classifier was made with features"):
            volumes.segment(even, model=trained)
        volts = ds.assign(image=ds["image"].assign_attrs(units="V"))
        with pytest.raises(DataError, match="is in 'V', and the classifier was trained in '1'"):
            volumes.segment(volts, model=trained)

    @pytest.mark.parametrize("fault", ["circle", "feature", "missing", "object", "cut", "text"])
    def test_a_hostile_file_is_refused(self, textures, tmp_path, fault):
        ds, _, marks = textures
        path = volumes.train_classifier(ds, marks, trees=2).save(tmp_path / "a.npz")
        arrays = dict(np.load(path))
        if fault == "circle":
            arrays["children"][int(np.flatnonzero(arrays["children"][:, 0] >= 0)[-1])] = 0
        elif fault == "feature":
            arrays["feature"][0] = 10_000
        elif fault == "missing":
            del arrays["shares"]
        elif fault == "object":
            arrays["roots"] = np.array([print], dtype=object)
        np.savez(path, **arrays)
        if fault == "cut":
            path.write_bytes(path.read_bytes()[:400])
        elif fault == "text":
            path.write_text("no archive")
        with pytest.raises(FileReadError, match="no classifier"):
            volumes.load_classifier(path)

    def test_a_model_has_its_scales(self, textures):
        ds, _, marks = textures
        trained = volumes.train_classifier(ds, marks, trees=2, scales=["10 nm"])
        with pytest.raises(DataError, match="scales belong to the training"):
            volumes.segment(ds, model=trained, scales=[0.02])


def test_points_of_a_segmentation_carry_its_classes(textures):
    ds, right, marks = textures
    result = volumes.segment(ds, marks, trees=10)
    points = judge(volumes.suggest(result, 8), right, ds)
    assert points.attrs["sampling"] == "suggested"
    again = volumes.segment(ds, [marks, points], trees=10)
    assert ((again["label"] == 2) == right).mean() > 0.95


def test_mitochondria_of_measured_sections(measured):
    """A quarter of two sections: trained on one, found in the other better than by brightness."""
    folder = measured("sstem_volume/vnc_stack1_raw/00.tif").parent
    voxel = {"z": "45 nm", "y": "4.6 nm", "x": "4.6 nm"}
    part = {"z": slice(2, 4), "y": slice(400, 760), "x": slice(300, 660)}
    raw = volumes.open(folder, voxel=voxel).isel(part).compute()
    drawn = volumes.open(measured("sstem_volume/vnc_stack1_mitochondria/00.png").parent, voxel=voxel).isel(part)
    (name,) = drawn.data_vars
    truth = drawn[name].values > 0
    marks = np.zeros(truth.shape, int)
    rng = np.random.default_rng(0)
    for label, member in ((1, ~truth[0]), (2, truth[0])):
        where = np.argwhere(member)
        chosen = where[rng.choice(len(where), 200, replace=False)]
        marks[0, chosen[:, 0], chosen[:, 1]] = label
    axes = {dim: fusion.Axis("um", values=raw[dim].values) for dim in ("z", "y", "x")}
    painted_here = fusion.dataset({"label": (("z", "y", "x"), marks, CLASSES)}, axes, name="marks")
    result = volumes.segment(raw, painted_here, trees=20, smooth="20 nm")
    found = result["label"].values[1] == 2
    assert (found & truth[1]).sum() / (found | truth[1]).sum() > 0.4
