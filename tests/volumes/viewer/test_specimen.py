"""A specimen on one page: a tab for each modality, one cursor, points and surfaces over them."""

import json

import numpy as np
import pytest
import xarray as xr

import fusion
import volumes
from fusion.errors import DataError, FrameError
from tests.makers.browser import Browser

LEFT_ON_TOP = fusion.Affine.translation(z=-0.4, y=-0.7, x=-1.1)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def um(step, offset=0.0):
    return fusion.Axis("um", step, offset=offset)


def mapped(name, shape, step, *, pose=None, frame="stage", labels=("iron", "oxygen"), seed=0):
    """Return a decomposed map, or a volume of spectra, every voxel with amounts of its own."""
    dims = "zyx"[-len(shape) :]
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(3.0, 40.0, (*shape, len(labels)))
    axes = {dim: um(step * (1 + 0.2 * k)) for k, dim in enumerate(dims)}
    axes |= {"component": list(labels), "energy": fusion.Axis("keV", 0.1)}
    variables = {
        "abundance": ((*dims, "component"), amounts, {"units": "count", "ancillary_variables": "abundance_stderr"}),
        "abundance_stderr": ((*dims, "component"), np.sqrt(amounts), {"units": "count"}),
        "endmember": (("component", "energy"), rng.dirichlet(np.ones(30), len(labels))),
    }
    return fusion.dataset(variables, axes, name=name, cell_methods="mean", pose=pose, frame=frame)


def image(name="survey", frame="stage", shape=(20, 33), step=0.2, **placed):
    values = np.random.default_rng(3).random(shape)
    axes = {"y": um(step, -0.4), "x": um(step, -0.6)}
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name=name, cell_methods="mean", frame=frame, **placed)


def points(at, frame="stage", **placed):
    axes = {dim: fusion.Axis("um", values=np.asarray(at, dtype=float)[:, d]) for d, dim in enumerate("zyx")}
    variables = {"photons": ("point", np.ones(len(at)))}
    return fusion.dataset(variables, axes, name="beads", frame=frame, **placed)


def opened(browser, ds, path, **options):
    written = volumes.page(ds, path, **options)
    browser.open(path)
    browser.wait("document.querySelector('#explorer').dataset.complete")
    return written


def pixel(browser, canvas, x, y):
    return browser.js(f"Array.from({canvas}.getContext('2d').getImageData({x}, {y}, 1, 1).data)")


@pytest.fixture(scope="module")
def tree():
    turned = LEFT_ON_TOP @ fusion.Affine.rotation(30.0, axis=(1.0, 0.2, 0.1))
    return xr.DataTree.from_dict({
        "/volume": mapped("volume", (6, 9, 13), 0.3),
        "/turned": mapped("turned", (8, 11, 10), 0.35, pose=turned, labels=("a", "b", "c"), seed=1),
        "/survey": image(),
        "/elsewhere": mapped("elsewhere", (5, 5), 1.0, frame="another stage"),
        "/beads": points([[0.5, 0.5, 0.5]]),
        "/raw": xr.Dataset({"note": ((), 1.0)}),
    })  # fmt: skip


class TestOneCursor:
    def test_each_dataset_has_a_tab_and_what_cannot_be_shown_is_named(self, browser, tree, tmp_path):
        opened(browser, tree, tmp_path / "tree.html")
        tabs = "Array.from(document.querySelectorAll('[role=tab]'), b => b.textContent)"
        assert browser.js(tabs) == ["volume", "turned", "survey", "elsewhere"]
        assert "raw (a page shows y and x" in browser.js("document.body.textContent")
        browser.js("document.querySelectorAll('[role=tab]')[2].click()")
        browser.wait("document.querySelectorAll('#explorer canvas.slice').length === 4")
        assert browser.complaints() == []
        assert browser.requests() == [(tmp_path / "tree.html").resolve().as_uri()]

    def test_the_spectrum_of_every_modality_that_covers_the_place(self, browser, tree, tmp_path):
        opened(browser, tree, tmp_path / "tree.html", precision="exact")
        rng = np.random.default_rng(5)
        volume, turned = (tree[name].to_dataset() for name in ("volume", "turned"))
        across = fusion.between(volume, turned)
        seen = 0
        for at in rng.integers(0, [6, 9, 13], (12, 3)).tolist():
            browser.js(f"conspectus.go({at})")
            browser.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            own = across([float(volume[dim][i]) for dim, i in zip("zyx", at, strict=True)])
            there = dict(zip("zyx", map(float, own), strict=True))
            names = browser.js("Array.from(document.querySelectorAll('.other h2'), h => h.textContent)")
            assert names == ["turned", "survey"]
            text = browser.js("document.querySelector('.other').textContent")
            try:
                truth = fusion.spectrum(turned, **there)
            except DataError:
                assert "does not cover this place" in text
                continue
            seen += 1
            found = browser.js(
                "(v => { const s = v.spectrum(v.index(specimen.cursors[1])); return [Array.from(s.values), "
                "Array.from(s.errors)]; })(specimen.values[1])"
            )
            np.testing.assert_allclose(found[0], truth.values, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(found[1], truth["spectrum_stderr"].values, rtol=0.02)
            assert browser.js("document.querySelector('.other .spectrum path.line') !== null")
        assert 2 < seen < 12

    def test_a_plane_speaks_for_one_step_of_a_volume_and_for_all_of_an_image(self, browser, tmp_path):
        chemistry = mapped("chemistry", (5, 6), 0.5)
        volume = mapped("volume", (6, 9, 13), 0.3, seed=2)
        lifted = image(pose=fusion.Affine.translation(z=2.0))
        tree = xr.DataTree.from_dict({"/volume": volume, "/chemistry": chemistry, "/survey": lifted})
        opened(browser, tree, tmp_path / "planes.html")
        for z, reached in ((0, True), (1, False)):
            browser.js(f"conspectus.go([{z}, 2, 2])")
            browser.wait(f"document.querySelector('.other').textContent.includes('iron') === {json.dumps(reached)}")
        browser.js("specimen.open(1)")
        browser.wait("conspectus.values.header.title === 'chemistry'")
        browser.js("conspectus.go([0, 1, 1])")
        browser.wait(
            "Array.from(document.querySelectorAll('.other')).at(-1).textContent.includes('plane lies 2 µm away')"
        )

    def test_the_cursor_follows_into_the_next_tab(self, browser, tree, tmp_path):
        opened(browser, tree, tmp_path / "tree.html")
        browser.js("conspectus.go([3, 4, 5])")
        wanted = browser.wait("conspectus.state.at[2] === 5 && specimen.values[1].voxelAt("
                              "conspectus.values.toFrame([3, 4, 5]))?.at")  # fmt: skip
        browser.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        browser.js("document.querySelectorAll('[role=tab]')[1].click()")
        browser.wait("conspectus.values.header.title === 'turned'")
        assert browser.js("conspectus.state.at") == wanted

    def test_all_tabs_fit_together(self, tree, tmp_path):
        whole = volumes.page(tree, tmp_path / "whole.html")
        small = volumes.page(tree, tmp_path / "small.html", largest=whole.size - 5000)
        assert small.size <= whole.size - 5000
        assert max(small.blocks) == 2

    def test_a_tree_refuses_what_belongs_to_one_dataset(self, tree, tmp_path):
        with pytest.raises(DataError, match="choose the rest in its datasets"):
            volumes.page(tree, tmp_path / "no.html", components=["iron"])
        with pytest.raises(DataError, match="nothing that a page can show: raw"):
            volumes.page(xr.DataTree.from_dict({"/raw": tree["raw"].to_dataset()}), tmp_path / "no.html")


class TestOverlays:
    def test_points_lie_at_their_place_in_all_planes(self, browser, tmp_path):
        at = [1.0, 2.0, 3.2]
        volume = mapped("volume", (6, 9, 13), 0.5)
        opened(browser, volume, tmp_path / "points.html", overlay=points([at]))
        voxel = [(p - float(volume[d][0])) / float(volume[d][1] - volume[d][0]) for p, d in zip(at, "zyx", strict=True)]
        sizes = [volume.sizes[dim] for dim in "zyx"]
        for panel, (row, column, across) in enumerate(((1, 2, 0), (1, 0, 2), (0, 2, 1))):
            there = [0, 0, 0]
            there[across] = round(voxel[across])
            browser.js(f"conspectus.go({there})")
            browser.wait(f"conspectus.state.at[{across}] === {there[across]}")
            browser.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            canvas = f"conspectus.slices.canvases[{panel}]"
            size = browser.js(f"[{canvas}.width, {canvas}.height]")
            x = (voxel[column] + 0.5) / sizes[column] * size[0]
            y = (voxel[row] + 0.5) / sizes[row] * size[1]
            assert pixel(browser, canvas, int(x), int(y))[:3] == [240, 228, 66]
            browser.js(f"conspectus.go({[i + 2 * (d == across) for d, i in enumerate(there)]})")
            browser.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert pixel(browser, canvas, int(x), int(y))[:3] != [240, 228, 66]

    def test_points_and_surfaces_lie_over_the_volume_where_it_is_drawn(self, browser, tmp_path):
        pose = fusion.Affine.rotation(25.0, axis=(0.3, 1.0, 0.2))
        volume = mapped("volume", (6, 9, 13), 0.5, pose=pose)
        at = pose([1.0, 2.4, 4.2])
        opened(browser, volume, tmp_path / "points.html", overlay=points([at]))
        found = browser.js(
            """(() => { const c = conspectus.volume.sheet;
            const p = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            let n = 0, x = 0, y = 0; for (let i = 0; i < p.length; i += 4) { n += p[i + 3]; const j = i / 4;
              x += p[i + 3] * (j % c.width + 0.5); y += p[i + 3] * (Math.floor(j / c.width) + 0.5); }
            return [x / n, y / n]; })()"""
        )
        picked = browser.js(f"conspectus.volume.projection()({[1.0 / 0.5, 2.4 / 0.6, 4.2 / 0.7]})")
        np.testing.assert_allclose(found, picked, atol=0.3)

    def test_a_surface_is_a_line_where_a_plane_cuts_it(self, browser, tmp_path):
        volume = mapped("volume", (8, 9, 13), 0.5)
        y, x = np.arange(12) * 0.4, np.arange(23) * 0.4
        height = 0.5 + 0.25 * x[None, :] + 0 * y[:, None]
        axes = {"y": um(0.4), "x": um(0.4)}
        surface = fusion.dataset({"height": (("y", "x"), height, {"units": "um"})}, axes, name="relief",
                                 cell_methods="point", frame="stage")  # fmt: skip
        opened(browser, volume, tmp_path / "surface.html", overlay=surface)
        browser.js("conspectus.go([0, 3, 0])")
        browser.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        canvas = "conspectus.slices.canvases[2]"
        width, high = browser.js(f"[{canvas}.width, {canvas}.height]")
        at_x = 3.5
        px = (at_x / 0.7 + 0.5) / 13 * width
        py = ((0.5 + 0.25 * at_x) / 0.5 + 0.5) / 8 * high
        column = browser.js(f"Array.from({canvas}.getContext('2d').getImageData({int(px)}, 0, 1, {high}).data)")
        yellow = [j for j in range(high) if column[4 * j] > 180 and column[4 * j + 1] > 170 and column[4 * j + 2] < 140]
        assert abs(np.mean(yellow) + 0.5 - py) < 1.5

    def test_a_surface_of_a_tree_is_a_tab_and_lies_over_the_volumes_of_its_frame(self, browser, tmp_path):
        axes = {"y": um(0.4), "x": um(0.4)}
        height = {"height": (("y", "x"), np.full((12, 20), 1.0), {"units": "um"})}
        relief = fusion.dataset(height, axes, name="relief", cell_methods="point", frame="stage")
        tree = xr.DataTree.from_dict({"/volume": mapped("volume", (6, 9, 13), 0.5), "/relief": relief})
        opened(browser, tree, tmp_path / "relief.html")
        assert browser.js("specimen.page.tabs.map(tab => tab.overlays.length)") == [1, 0]
        assert browser.js("document.querySelectorAll('.other').length") == 0
        browser.js("specimen.open(1)")
        browser.wait("document.querySelector('.other h2')?.textContent === 'volume'")

    def test_a_map_over_an_image_brings_its_spectra(self, browser, tmp_path):
        chemistry = mapped("chemistry", (5, 6), 0.5)
        survey = image()
        opened(browser, survey, tmp_path / "over.html", overlay=chemistry, precision="exact")
        at = [0, 7, 9]
        where = {dim: float(survey[dim][i]) for dim, i in zip("yx", at[1:], strict=True)}
        truth = fusion.spectrum(chemistry, **where)
        browser.js(f"conspectus.go({at})")
        found = browser.js("(s => [Array.from(s.values), Array.from(s.errors)])(conspectus.spectrum())")
        np.testing.assert_allclose(found[0], truth.values, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found[1], truth["spectrum_stderr"].values, rtol=0.02)
        browser.js("conspectus.go([0, 19, 32])")
        assert browser.js("conspectus.spectrum()") is None

    def test_an_image_over_an_image_and_what_cannot_lie_over_one(self, browser, tmp_path):
        over = image("light", step=0.1).rename(image="fluorescence")
        opened(browser, image(), tmp_path / "two.html", overlay=over)
        assert browser.js("conspectus.values.header.components.map(c => c.name)") == ["fluorescence"]
        with pytest.raises(FrameError, match="share no frame"):
            volumes.page(image(), tmp_path / "no.html", overlay=points([[0, 0, 0]], frame="another"))
        with pytest.raises(DataError, match="tabs of one tree"):
            volumes.page(mapped("a", (5, 6), 0.5), tmp_path / "no.html", overlay=mapped("b", (5, 6), 0.5))
