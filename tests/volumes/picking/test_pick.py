"""Picking landmarks: the page in a browser, what it computes against Python, and the notebook's side."""

import json

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import DataError, FileReadError, RegistrationError, StoreError, UnitError
from tests.makers.browser import Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def image(name, shape=(40, 60), step=0.1, direction="", bright=None):
    values = np.random.default_rng(1).random(shape) * 0.2
    if bright is not None:
        values[bright] = 1.0
    axes = {"y": fusion.Axis("um", step, offset=2.0, direction=direction), "x": fusion.Axis("um", step, offset=-1.0)}
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name=name, cell_methods="mean")


def marks(count=7, noise=0.02, seed=0, angle=12.0, wrong=None):
    rng = np.random.default_rng(seed)
    moving = rng.uniform([2.0, -1.0], [6.0, 5.0], (count, 2))
    turn = np.deg2rad(angle)
    fixed = moving @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + [0.2, -0.1]
    fixed += rng.normal(0.0, noise, fixed.shape)
    if wrong is not None:
        fixed[wrong] += [0.8, -0.5]
    axes = {"axis": ["y", "x"]}
    return fusion.dataset({"moving": (("point", "axis"), moving), "fixed": (("point", "axis"), fixed)}, axes, name="m")


def opened(browser, tmp_path, **options):
    path = volumes.pick_page(image("light"), image("electrons"), tmp_path / "pick.html", **options)
    browser.open(path)
    return path


def screen(browser, side, at):
    x, y = browser.js(f"picker.pictures[{side}].toScreen({[float(v) for v in at]})")
    left, top = browser.js(f"(b => [b.left, b.top])(picker.pictures[{side}].canvas.getBoundingClientRect())")
    return left + x, top + y


class TestFigures:
    @pytest.mark.parametrize("model", ["rigid", "similarity", "affine"])
    def test_the_page_computes_what_register_landmarks_does(self, browser, tmp_path, model):
        pairs = marks()
        opened(browser, tmp_path, model=model, landmarks=pairs)
        fit = browser.js(
            "(f => ({dof: f.dof, variance: f.variance, pairs: f.pairs, there: f.map([3, 1]), error: f.error([9, 7]), "
            "back: f.back(f.map([3, 1]))}))(picker.fit)"
        )
        result = fusion.register_landmarks(pairs["moving"].values, pairs["fixed"].values, model=model, outliers="keep")
        np.testing.assert_allclose(fit["there"], result.transform([0.0, 3.0, 1.0])[1:], rtol=1e-9)
        np.testing.assert_allclose(fit["back"], [3.0, 1.0], rtol=1e-9)
        np.testing.assert_allclose([one["residual"] for one in fit["pairs"]], result.residuals.values[:, 1:], atol=1e-9)
        assert np.sqrt(fit["variance"]) == pytest.approx(result.sigma, rel=1e-6)
        assert fit["dof"] == result.dof
        assert fit["error"] == pytest.approx(float(result.tre([[9.0, 7.0]])[0]), rel=1e-3)
        np.testing.assert_allclose([one["distance"] for one in fit["pairs"]], result.left_out["distance"], rtol=1e-3)
        np.testing.assert_allclose([one["p"] for one in fit["pairs"]], result.left_out["p"], rtol=0.01)

    def test_the_pair_that_disagrees_is_named(self, browser, tmp_path):
        opened(browser, tmp_path, landmarks=marks(wrong=3))
        assert browser.js("picker.fit.pairs.map(p => p.accused)") == [n == 3 for n in range(7)]
        browser.wait("document.querySelector('.readout').textContent.includes('Pair 4 disagrees')")
        with pytest.raises(RegistrationError, match="3 "):
            fusion.register_landmarks(*(marks(wrong=3)[side].values for side in ("moving", "fixed")), model="rigid")

    def test_too_few_pairs_say_how_many_are_missing(self, browser, tmp_path):
        opened(browser, tmp_path, model="affine")
        browser.wait("document.querySelector('.readout').textContent.includes('3 more pairs for a affine')")
        assert browser.js("picker.fit") is None


class TestHands:
    def test_clicks_make_pairs_where_they_were_made(self, browser, tmp_path):
        opened(browser, tmp_path)
        wanted = [([3.0, 1.0], [3.1, 1.5]), ([5.5, 4.0], [5.3, 4.4]), ([2.5, 0.0], [2.7, 0.3])]
        for moving, fixed in wanted:
            browser.click(*screen(browser, 0, moving))
            browser.click(*screen(browser, 1, fixed))
        found = browser.js("picker.pairs.map(p => [p.moving, p.fixed])")
        pixel = 1 / browser.js("picker.pictures[0].scale")
        np.testing.assert_allclose(found, wanted, atol=pixel)
        assert browser.complaints() == []
        assert browser.requests() == [(tmp_path / "pick.html").resolve().as_uri()]

    def test_marks_are_dragged_and_deleted_and_images_enlarged(self, browser, tmp_path):
        pairs = marks(4, angle=0.0)
        middle = int(np.abs(pairs["fixed"].values - [4.0, 2.0]).sum(axis=1).argmin())
        opened(browser, tmp_path, landmarks=pairs)
        x, y = screen(browser, 1, pairs["fixed"].values[middle])
        browser.drag(x, y, 30.0, -20.0)
        moved = browser.js(f"picker.pairs[{middle}].fixed")
        scale = browser.js("picker.pictures[1].scale")
        np.testing.assert_allclose(moved, pairs["fixed"].values[middle] + np.array([-20.0, 30.0]) / scale, atol=1e-6)
        assert browser.js("picker.selected") == middle
        browser.js("picker.pictures[1].canvas.focus()")
        browser.press("Delete")
        assert browser.js("picker.pairs.length") == 3
        before = browser.js("picker.pictures[0].toPlace([100, 120])")
        browser.js("picker.pictures[0].enlarge([100, 120], 3)")
        np.testing.assert_allclose(browser.js("picker.pictures[0].toPlace([100, 120])"), before)
        assert browser.js("picker.pictures[0].zoom") == pytest.approx(3.0)
        browser.js("picker.pictures[0].canvas.dispatchEvent(new PointerEvent('pointerleave')); picker.pending = null")
        browser.drag(*screen(browser, 0, before), 40.0, 0.0)
        assert browser.js("picker.pictures[0].toPlace([140, 120])") == pytest.approx(before)
        assert browser.js("picker.pairs.length") == 3

    @pytest.mark.parametrize("direction", ["up", "down"])
    def test_an_image_is_the_right_way_up_and_marks_lie_on_it(self, browser, tmp_path, direction):
        moving = image("scan", direction=direction, bright=(slice(4, 8), slice(10, 14)))
        browser.open(volumes.pick_page(moving, image("b"), tmp_path / "up.html"))
        at = [2.0 + 5.5 * 0.1, -1.0 + 11.5 * 0.1]
        x, y = browser.js(f"picker.pictures[0].toScreen({at})")
        height = browser.js("picker.pictures[0].canvas.clientHeight")
        assert (y > height / 2) is (direction == "up")
        shade = "picker.pictures[0].canvas.getContext('2d').getImageData"
        assert browser.js(f"{shade}({x - 6}, {y - 5}, 1, 1).data[0]") > 200
        assert browser.js(f"{shade}({x}, {height - y}, 1, 1).data[0]") < 120

    def test_the_cursor_is_linked_once_the_pairs_say_how(self, browser, tmp_path):
        opened(browser, tmp_path, landmarks=marks(5, noise=0.0))
        fingerprint = "picker.draw(), picker.pictures[1].canvas.toDataURL()"
        before = browser.js(f"({fingerprint})")
        browser.js("picker.hover('moving', [4, 2])")
        assert browser.js(f"({fingerprint})") != before

    def test_the_csv_of_the_page_is_read_back(self, browser, tmp_path):
        pairs = marks(5)
        opened(browser, tmp_path, landmarks=pairs)
        path = tmp_path / "landmarks.csv"
        path.write_text(browser.js("picker.csv()"), encoding="utf-8")
        found = volumes.read_landmarks(path)
        for side in ("moving", "fixed"):
            np.testing.assert_allclose(found[side], pairs[side], rtol=1e-10)
        again = fusion.register_landmarks(found["moving"].values, found["fixed"].values, model="rigid")
        assert again.rms < 0.05

    def test_names_of_hostile_files_stay_text(self, browser, tmp_path):
        name = "</script><script>globalThis.pwned=1</script><img src=x onerror=globalThis.pwned=1>"
        browser.open(volumes.pick_page(image(name), image("b\u202egnp"), tmp_path / "hostile.html"))
        assert browser.js("globalThis.pwned") is None
        assert browser.js("document.querySelectorAll('img, #explorer script').length") == 0
        assert "\u202e" not in browser.js("document.body.textContent")


class TestNotebook:
    def test_python_has_the_landmarks_of_the_page(self):
        picker = volumes.pick(image("light"), image("electrons"), model="similarity")
        assert repr(picker) == "0 pairs of landmarks in light and electrons"
        seen = []
        picker.observe(lambda one: seen.append(one.landmarks.sizes["point"]))
        pairs = marks(6)
        report = np.stack([pairs["moving"], pairs["fixed"]], axis=1).tolist()
        picker._frame.widget.report = {"pairs": report, "model": "rigid"}
        assert seen == [6]
        np.testing.assert_allclose(picker.landmarks["moving"], pairs["moving"])
        assert picker.landmarks["fixed"].attrs["long_name"] == "landmarks in electrons"
        assert picker.landmarks["fixed"].attrs["units"] == "um"
        assert picker.register().model == "rigid"
        assert picker.register(model="affine", sigma=0.02).sigma == pytest.approx(0.02)

    @pytest.mark.parametrize(
        "report",
        ["pairs", {"pairs": "x"}, {"pairs": [[1, 2]], "model": "rigid"}, {"pairs": [], "model": "import os"},
         {"pairs": [[[1, 2], [3, None]]], "model": "rigid"}, {"pairs": [[[1, 2], [3, "x"]]], "model": "rigid"}],
    )  # fmt: skip
    def test_reports_that_a_page_cannot_make_are_not_taken(self, report):
        picker = volumes.pick(image("light"), image("electrons"))
        picker._frame.widget.report = report
        assert picker.landmarks.sizes["point"] == 0
        assert picker.model == "rigid"

    def test_what_is_shown_is_in_a_sandbox(self):
        picker = volumes.pick(image("light"), image("electrons"))
        assert "widget-view" in json.dumps(picker._repr_mimebundle_()[0])
        assert "allow-same-origin" not in picker._frame.widget._esm


class TestRefusals:
    def test_images(self, tmp_path):
        axes = {dim: fusion.Axis("um", 1.0) for dim in "zyx"}
        volume = fusion.dataset({"v": (("z", "y", "x"), np.ones((2, 3, 4)))}, axes, name="v", cell_methods="mean")
        with pytest.raises(DataError, match="fixed: landmarks are picked in an image"):
            volumes.pick(image("a"), volume)
        pixels = fusion.dataset({"image": (("y", "x"), np.eye(4))}, {d: fusion.Axis("px", 1.0) for d in "yx"},
                                name="p", cell_methods="mean")  # fmt: skip
        with pytest.raises(UnitError, match="moving: the size of a pixel"):
            volumes.pick(pixels, image("b"))
        with pytest.raises(DataError, match="model is one of"):
            volumes.pick(image("a"), image("b"), model="warp")
        with pytest.raises(DataError, match="variables moving and fixed"):
            volumes.pick(image("a"), image("b"), landmarks=image("c"))
        with pytest.raises(StoreError, match=r"\.html"):
            volumes.pick_page(image("a"), image("b"), tmp_path / "page.txt")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [("", "its columns are"), ("a,b\n1,2", "its columns are"),
         ("moving_y,moving_x,fixed_y,fixed_x\n1,2,3", "not four numbers"),
         ("moving_y,moving_x,fixed_y,fixed_x\n1,2,3,x", "not four numbers"),
         ("moving_y,moving_x,fixed_y,fixed_x\n1,2,3,4\n1,2,inf,3", "landmark 1 is not finite")],
    )  # fmt: skip
    def test_csv(self, tmp_path, text, reason):
        path = tmp_path / "marks.csv"
        path.write_text(text)
        with pytest.raises(FileReadError, match=reason):
            volumes.read_landmarks(path)
