"""A page that answers to Python: what it reports in a browser, and what Python takes of it."""

import json
from importlib.resources import files

import numpy as np
import pytest
import xarray as xr

import fusion
import volumes
from fusion.errors import DataError
from tests.makers.browser import Browser

SHAPE = (6, 9, 14)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def fused(name="fused"):
    rng = np.random.default_rng(0)
    amounts = rng.gamma(2.0, 50.0, (*SHAPE, 2))
    axes = {dim: fusion.Axis("um", step, offset=1.0) for dim, step in zip("zyx", (0.5, 0.3, 0.2), strict=True)}
    axes |= {"component": ["iron", "oxygen"], "energy": fusion.Axis("keV", 0.1)}
    variables = {
        "image": (("z", "y", "x"), rng.random(SHAPE)),
        "abundance": (("z", "y", "x", "component"), amounts,
                      {"units": "count", "ancillary_variables": "abundance_stderr"}),
        "abundance_stderr": (("z", "y", "x", "component"), np.sqrt(amounts), {"units": "count"}),
        "endmember": (("component", "energy"), rng.dirichlet(np.ones(20), 2)),
    }  # fmt: skip
    return fusion.dataset(variables, axes, name=name, cell_methods="mean", frame="stage")


def notebook(browser, explorer, path):
    """Open what Jupyter would run: the front end of the widget, with a model of which Python's side is cut off."""
    widget = explorer._frame.widget
    module = files("volumes.widgets").joinpath("frame.js").read_text(encoding="utf-8")
    values = json.dumps({"page": widget.page, "height": 700}).replace("</", "<\\/")
    path.write_text(
        f"""<!doctype html><meta charset=utf-8><main id=explorer data-ready=1>secret</main><script type=module>
        {module.replace("export default { render };", "")}
        const values = {values}, calls = {{}};
        globalThis.model = {{values, get: key => values[key], set: (key, value) => {{ values[key] = value; }},
          save_changes: () => {{}}, on: (name, call) => {{ calls[name] = call; }}, off: name => delete calls[name],
          ask: value => {{ values.request = value; calls["change:request"](); }}}};
        globalThis.stop = render({{model, el: document.getElementById("explorer")}});</script>""",
        encoding="utf-8",
    )
    browser.open(path)
    inner = browser.frame()
    ready = "new Promise(r => (function f() { globalThis.conspectus ? r() : setTimeout(f, 20); })())"
    browser.js(ready, session=inner)
    return inner


class TestPage:
    def test_python_hears_of_clicks_and_regions_and_the_page_of_python(self, browser, tmp_path):
        ds = fused()
        explorer = volumes.explore(ds)
        inner = notebook(browser, explorer, tmp_path / "notebook.html")
        browser.js("conspectus.go([2, 5, 7])", session=inner)
        browser.wait("globalThis.model.values.report?.voxel?.[2] === 7")
        explorer._frame.widget.report = browser.js("model.values.report")
        assert explorer.voxel == (2, 5, 7)
        explorer.go(z=1.0, x=2.2)
        browser.js(f"model.ask({json.dumps(explorer._frame.widget.request)})")
        browser.wait("globalThis.model.values.report.voxel.join() === '0,5,6'")
        browser.js("model.ask({go: [1, 2]}); model.ask({go: ['a', 1, 2]}); model.ask(null)")
        browser.js(
            "conspectus.state.region = conspectus.slices.box({across: 0}, [0, 7, 3], [0, 4, 9]); conspectus.redraw()",
            session=inner,
        )
        browser.wait("globalThis.model.values.report.region !== null")
        explorer._frame.widget.report = browser.js("model.values.report")
        for dim, ends in {"z": (1.0, 3.5), "y": (2.2, 3.1), "x": (1.6, 2.8)}.items():
            assert explorer.region[dim] == pytest.approx(ends)
        assert explorer.selected["image"].shape == (6, 4, 7)
        assert browser.js("origin", session=inner) == "null"
        browser.js("stop()")

    def test_a_region_is_drawn_with_the_shift_key(self, browser, tmp_path):
        browser.open(volumes.page(fused(), tmp_path / "page.html").path)
        box = browser.js("(b => [b.left, b.top, b.width, b.height])"
                         "(conspectus.slices.canvases[0].getBoundingClientRect())")  # fmt: skip
        at = [box[0] + box[2] * 2.5 / 14, box[1] + box[3] * 1.5 / 9]
        for kind, dx, dy in (("pointerdown", 0, 0), ("pointermove", box[2] * 4 / 14, box[3] * 3 / 9)):
            browser.js(
                f"conspectus.slices.canvases[0].on{kind}({{shiftKey: true, buttons: 1, pointerId: 1, "
                f"clientX: {at[0] + dx}, clientY: {at[1] + dy}}})"
                if kind == "pointermove"
                else "(c => { c.setPointerCapture = () => {}; "
                f"c.onpointerdown({{shiftKey: true, pointerId: 1, clientX: {at[0]}, clientY: {at[1]}}}); }})"
                "(conspectus.slices.canvases[0])"
            )
        assert browser.js("conspectus.state.region") == [[0, 5], [1, 4], [2, 6]]
        browser.wait("document.querySelector('.readout').textContent.includes('region of 6 × 4 × 5 voxels')")


class TestPython:
    def test_voxel_position_and_spectrum(self):
        ds = fused()
        explorer = volumes.explore(ds)
        seen = []
        explorer.observe(lambda one: seen.append(one.voxel))
        explorer._frame.widget.report = {"voxel": [1, 2, 3], "tab": 0, "region": None}
        assert seen == [(1, 2, 3)]
        assert explorer.position == pytest.approx({"z": 1.5, "y": 1.6, "x": 1.6})
        xr.testing.assert_identical(explorer.spectrum, fusion.spectrum(ds, **explorer.position))
        assert explorer.region is None
        assert repr(explorer) == "fused at z 1.5, y 1.6, x 1.6 um, voxel (1, 2, 3)"

    def test_blocks_of_voxels_stand_for_their_middle(self):
        explorer = volumes.explore(fused(), largest=1)
        blocks = explorer._made.blocks[0]
        assert max(blocks) > 1
        explorer._frame.widget.report = {"voxel": [0, 0, 0], "tab": 0, "region": [[0, 0], [0, 0], [0, 0]]}
        assert explorer.voxel == tuple(min(n // 2, size - 1) for n, size in zip(blocks, SHAPE, strict=True))
        assert explorer.selected["image"].shape == tuple(map(min, zip(blocks, SHAPE, strict=True)))

    def test_a_tree_says_which_tab_is_open(self):
        tree = xr.DataTree.from_dict({"/a": fused("a"), "/b": fused("b").isel(z=2)})
        explorer = volumes.explore(tree)
        explorer._frame.widget.report = {"voxel": [0, 4, 5], "tab": 1, "region": None}
        assert explorer.dataset.attrs["title"] == "b"
        assert explorer.voxel == (4, 5)

    @pytest.mark.parametrize(
        "report",
        [{"voxel": [1, 2], "tab": 0}, {"voxel": [1, 2, 99], "tab": 0}, {"voxel": [1, 2, 1.5], "tab": 0}, 7,
         {"voxel": [0, 0, 0], "tab": 5}, {"voxel": [0, 0, 0], "tab": "0"}, {"tab": 0},
         {"voxel": [True, 0, 0], "tab": 0},
         {"voxel": [0, 0, 0], "tab": 0, "region": [[0, 0]]}, {"voxel": [0, 0, 0], "tab": 0, "region": [[3, 1]] * 3},
         {"voxel": [0, 0, 0], "tab": 0, "region": ["ab"] * 3}],
    )  # fmt: skip
    def test_reports_that_a_page_cannot_make_are_not_taken(self, report):
        explorer = volumes.explore(fused())
        before = explorer.voxel
        explorer._frame.widget.report = report
        assert (explorer.voxel, explorer.region) == (before, None)

    def test_places_outside_are_refused(self):
        explorer = volumes.explore(fused())
        with pytest.raises(DataError, match=r"z=50.* lies outside"):
            explorer.go(z=50.0)
        with pytest.raises(DataError, match="energy: the dataset has z, y, x"):
            explorer.go(energy=1.0)

    def test_without_the_tools_of_jupyter_it_says_what_to_install(self, monkeypatch):
        from volumes.widgets import frame

        frame._widget.cache_clear()
        monkeypatch.setitem(__import__("sys").modules, "anywidget", None)
        with pytest.raises(DataError, match=r"pip install 'conspectus\[jupyter\]'"):
            volumes.explore(fused())
        frame._widget.cache_clear()
