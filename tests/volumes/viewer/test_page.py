"""The page in a real browser: what it shows is what the dataset holds, and nothing in it can do harm."""

import json
from html import escape

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import DataError, StoreError
from tests.makers.browser import Browser
from volumes.viewer import page as pages

SHAPE = (7, 12, 17)
STEPS = {"z": 0.5, "y": 0.3, "x": 0.2}
READY = "new Promise(r => (function f() { globalThis.conspectus ? r() : setTimeout(f, 20); })())"
RUN = "globalThis.pwned=1"
HOSTILE = [
    # markup that runs on its own
    f"</script><script>{RUN}</script>", f"<script>{RUN}</script>", f"<SCRIPT>{RUN}</SCRIPT>",
    f"</script ><script >{RUN}",
    f"<scr<script>ipt>{RUN}</script>", f"\"><script>{RUN}</script>", f"'><script>{RUN}</script>",
    f"</title><script>{RUN}</script>", f"</style><script>{RUN}</script>", f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>", f"<!--<script>{RUN}", "<!--<script>", "]]>",
    f"<script src=data:text/javascript,{RUN}>",
    # elements with events
    f"<img src=x onerror={RUN}>", f"<IMG SRC=x ONERROR={RUN}>", f"<img/src=x/onerror={RUN}>", f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>", f"<svg><animate onbegin={RUN} attributeName=x>", f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>", f"<details open ontoggle={RUN}>", f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>", f"<marquee onstart={RUN}>", f"<select autofocus onfocus={RUN}>",
    f"<math><mtext><script>{RUN}</script>", f"<style onload={RUN}>", f"\" onmouseover={RUN} x=\"",
    f"' autofocus onfocus={RUN} '",
    # documents within the document
    "<iframe srcdoc='<script>parent.pwned=1</script>'>", "<iframe src=javascript:parent.pwned=1>",
    "<object data=javascript:pwned=1>", "<embed src=javascript:pwned=1>", "<base href=https://example.org/>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<form action=https://example.org><button>go</button></form>", "<a href=javascript:pwned=1>x</a>",
    "javascript:pwned=1",
    # text that ends a string, a template, or turns the direction of writing
    "\u2028globalThis.pwned=1//", "\u2029globalThis.pwned=1//", "\u202egnp.exe", "\u2066hidden\u2069", "\u200bempty",
    "\ufeffmark",
    "\x1b[31mred", "tab\tand\nline", "${pwned=1}", "`;pwned=1;`", "';pwned=1;//", "\";pwned=1;//",
    "\\u003cscript>pwned=1",
    "\\\";pwned=1//", "&lt;script&gt;pwned=1", "&#60;script&#62;pwned=1", "{{constructor.constructor('pwned=1')()}}",
    "__proto__",
]  # fmt: skip


def fused(seed=0, labels=("iron", "oxygen", "carbon"), pose=None, **attrs):
    """Return a fused volume on a grid of unequal sizes, with a corner that no map covers."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 50.0, (*SHAPE, len(labels)))
    amounts[:2, :3, :4] = np.nan
    errors = np.sqrt(amounts) + 0.1
    errors[5, 5, 5] = np.inf
    spectra = rng.random((len(labels), 40)) * (rng.random((len(labels), 40)) > 0.3)
    dims = ("z", "y", "x")
    axes = {dim: fusion.Axis("um", step, offset=1.5) for dim, step in STEPS.items()}
    axes |= {"component": list(labels), "energy": fusion.Axis("keV", 0.1, offset=0.2)}
    linked = {"units": "count", "ancillary_variables": "abundance_stderr"}
    variables = {
        "image": (dims, rng.random(SHAPE)),
        "abundance": ((*dims, "component"), amounts, linked),
        "abundance_stderr": ((*dims, "component"), errors, {"units": "count"}),
        "endmember": (("component", "energy"), spectra),
    }
    return fusion.dataset(variables, axes, name="fused", cell_methods="mean", pose=pose, attrs=attrs)


def one_bright_voxel(at, pose=None):
    values = np.zeros((14, 20, 31, 1))
    values[at] = 1.0
    axes = {dim: fusion.Axis("um", step) for dim, step in STEPS.items()} | {"component": ["bead"]}
    return fusion.dataset({"abundance": (("z", "y", "x", "component"), values)}, axes, name="bead",
                          cell_methods="mean", pose=pose)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def shown(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "fused.html"
    ds = fused()
    return ds, volumes.page(ds, path, peaks={"Fe": 1.0})


def opened(browser, ds, path, **options):
    written = volumes.page(ds, path, **options)
    browser.open(path)
    return written


def state(browser):
    return json.loads(browser.js("JSON.stringify(conspectus.state)"))


def rectangle(browser, element):
    return browser.js(f"(b => [b.left, b.top, b.width, b.height])({element}.getBoundingClientRect())")


def click_voxel(browser, panel, at):
    """Click the middle of a voxel in one of the three planes."""
    row, column = ((1, 2), (1, 0), (0, 2))[panel]
    box = rectangle(browser, f"conspectus.slices.canvases[{panel}]")
    browser.click(box[0] + box[2] * (at[column] + 0.5) / SHAPE[column], box[1] + box[3] * (at[row] + 0.5) / SHAPE[row])


class TestValues:
    @pytest.mark.parametrize("precision", ["noise", "exact"])
    def test_a_click_on_a_plane_gives_the_spectrum_of_the_voxel(self, browser, tmp_path, precision):
        ds = fused()
        written = opened(browser, ds, tmp_path / "page.html", precision=precision)
        header = json.loads(browser.js("document.getElementById('header').textContent"))["tabs"][0]
        rng = np.random.default_rng(1)
        for turn in range(36 if precision == "noise" else 6):
            panel, wanted = turn % 3, rng.integers(0, SHAPE)
            fixed = (0, 2, 1)[panel]
            before = state(browser)["at"]
            click_voxel(browser, panel, wanted)
            expected = [before[d] if d == fixed else int(wanted[d]) for d in range(3)]
            assert state(browser)["at"] == expected
            self.compare(browser, ds, expected, header)
        assert written.rounding < (0.3 if precision == "noise" else 0.002)

    def compare(self, browser, ds, at, header):
        where = {dim: float(ds[dim][i]) for dim, i in zip("zyx", at, strict=True)}
        found = browser.js(
            "(s => s && [Array.from(s.values), Array.from(s.errors, e => isFinite(e) ? e : -1)])(conspectus.spectrum())"
        )
        if np.isnan(ds["abundance"].values[tuple(at)]).any():
            assert found is None
            browser.wait("document.querySelector('.readout').textContent.includes('no map covers this place')")
            with pytest.raises(DataError):
                fusion.spectrum(ds, **where)
            return
        truth = fusion.spectrum(ds, **where)
        endmember = ds["endmember"].values
        allowed = np.array([part["rounding"] for part in header["components"]]) @ endmember + 1e-5
        assert (np.abs(np.array(found[0]) - truth.values) <= allowed).all()
        error = truth["spectrum_stderr"].values
        known = np.isfinite(error)
        np.testing.assert_array_equal(np.array(found[1]) >= 0, known)
        np.testing.assert_allclose(np.array(found[1])[known], error[known], rtol=0.02)

    def test_no_click_lands_in_a_corner_without_a_value(self, browser, shown):
        browser.open(shown[1].path)
        browser.js("conspectus.go([0, 0, 0])")
        assert browser.js("conspectus.spectrum()") is None
        browser.wait("document.querySelector('.spectrum').textContent === 'no map covers this place'")

    def test_positions_are_those_of_the_dataset_and_of_its_frame(self, browser, tmp_path):
        pose = fusion.Affine.translation(x=100.0) @ fusion.Affine.rotation(30.0, axis=(1.0, 0.0, 0.0))
        ds = fused(pose=pose)
        opened(browser, ds, tmp_path / "page.html")
        browser.js("conspectus.go([3, 4, 5])")
        own = [float(ds[dim][i]) for dim, i in zip("zyx", (3, 4, 5), strict=True)]
        np.testing.assert_allclose(browser.js("conspectus.values.position([3, 4, 5])"), own)
        np.testing.assert_allclose(browser.js("conspectus.values.inFrame([3, 4, 5])"), pose(own))
        browser.wait("document.querySelector('.readout').textContent.includes('in frame fused')")

    def test_blocks_are_means_and_the_page_says_so(self, browser, tmp_path):
        ds = fused()
        whole = volumes.page(ds, tmp_path / "whole.html")
        written = opened(browser, ds, tmp_path / "small.html", largest=whole.size * 0.95)
        assert written.size < whole.size
        assert written.blocks == (1, 1, 2)
        browser.wait("document.body.textContent.includes('Means of 1 × 1 × 2 voxels')")
        values = ds["abundance"].values[3, 4, 6:8].mean(axis=0)
        rounding = browser.js("conspectus.values.header.components.map(c => c.rounding)")
        found = browser.js("[0, 1, 2].map(k => conspectus.values.value(k, conspectus.values.index([3, 4, 3])))")
        assert (np.abs(found - values) <= np.array(rounding) + 1e-9).all()
        np.testing.assert_allclose(browser.js("conspectus.values.position([3, 4, 3])[2]"), ds["x"].values[6:8].mean())

    def test_a_region_is_shown_in_full(self, browser, tmp_path):
        ds = fused()
        opened(browser, ds, tmp_path / "region.html", region={"x": (2.0, 3.0)})
        assert browser.js("conspectus.values.header.shape") == [7, 12, 5]
        np.testing.assert_allclose(browser.js("conspectus.values.position([0, 0, 0])[2]"), 2.1)


class TestDrawing:
    @pytest.mark.parametrize("view", [(0.5, 0.3), (-1.2, -0.7)])
    @pytest.mark.parametrize(
        "pose",
        [None, fusion.Affine.rotation(40.0, axis=(1.0, 0.0, 0.0)), fusion.Affine.rotation(70.0, axis=(0.2, 1.0, 0.5))],
        ids=["own axes", "turned", "tilted"],
    )
    def test_a_bright_voxel_is_seen_where_it_is(self, browser, tmp_path, pose, view):
        at = (3, 15, 24)
        opened(browser, one_bright_voxel(at, pose), tmp_path / "bead.html")
        browser.js(
            f"Object.assign(conspectus.state, {{yaw: {view[0]}, pitch: {view[1]}}}); conspectus.volume.draw(true)"
        )
        seen = browser.js(
            """(() => { const c = conspectus.volume.canvas, d = document.createElement("canvas");
            d.width = c.width; d.height = c.height; const g = d.getContext("2d"); g.drawImage(c, 0, 0);
            const p = g.getImageData(0, 0, c.width, c.height).data; let n = 0, x = 0, y = 0;
            for (let i = 0; i < p.length; i += 4) { const w = Math.max(0, p[i] - p[i + 2] - 15); const j = i / 4;
              n += w; x += w * (j % c.width + 0.5); y += w * (Math.floor(j / c.width) + 0.5); }
            return [x / n, y / n, c.width, c.height]; })()"""
        )
        assert np.hypot(*(np.array(seen[:2]) - projected(at, pose, *view, *seen[2:]))) < 0.5

    def test_a_click_into_the_volume_finds_the_voxel(self, browser, tmp_path):
        at = (3, 15, 24)
        opened(browser, one_bright_voxel(at), tmp_path / "bead.html")
        box = rectangle(browser, "conspectus.volume.canvas")
        view = state(browser)
        x, y = projected(at, None, view["yaw"], view["pitch"], *box[2:])
        browser.js("conspectus.go([0, 0, 0])")
        browser.click(box[0] + x, box[1] + y)
        assert state(browser)["at"] == list(at)

    def test_toggles_keys_and_sliders_change_pixels(self, browser, shown):
        browser.open(shown[1].path)
        browser.js("document.querySelector('canvas.volume').focus()")
        pictures = [pixels(browser)]
        for step in (
            lambda: browser.press("1"),
            lambda: browser.js("document.querySelector('button').click()"),
            lambda: browser.press("PageDown"),
            lambda: slide(browser, 0, 0.9),
            lambda: slide(browser, 1, 2.5),
            lambda: browser.js("(s => { s.value = 1; s.onchange(); })(document.querySelector('select'))"),
        ):
            step()
            pictures.append(pixels(browser))
        assert pictures[2] == pictures[0]  # off and on again
        assert len(set(pictures)) == len(pictures) - 1
        assert browser.js("document.querySelectorAll('.peak').length") == 1

    def test_what_is_zero_everywhere_is_not_drawn(self, browser, tmp_path):
        ds = one_bright_voxel((3, 15, 24))
        ds["abundance"] = ds["abundance"] * 0 + ds["abundance"].attrs.get("nothing", 0)
        ds["abundance"].attrs = {"units": "1", "cell_methods": "z: y: x: mean", "grid_mapping": "pose"}
        opened(browser, ds, tmp_path / "nothing.html")
        box = "conspectus.volume.canvas"
        assert browser.js(
            f"""(c => {{ const d = document.createElement("canvas"); d.width = c.width; d.height = c.height;
            const g = d.getContext("2d"); g.drawImage(c, 0, 0); const p = g.getImageData(0, 0, c.width, c.height).data;
            return p.every((v, i) => i % 4 === 3 || Math.abs(p[i - i % 4] - p[i - i % 4 + 2]) < 25); }})({box})"""
        )

    @pytest.mark.parametrize("direction", ["up", "down"])
    def test_a_map_without_depth_has_one_plane_the_right_way_up(self, browser, tmp_path, direction):
        values = np.zeros((4, 6))
        values[0, 0] = 1.0
        axes = {"y": fusion.Axis("um", 1.0, direction=direction), "x": fusion.Axis("um", 0.5)}
        ds = fusion.dataset({"image": (("y", "x"), values)}, axes, name="map", cell_methods="mean")
        opened(browser, ds, tmp_path / "map.html")
        assert browser.js("document.querySelectorAll('canvas').length") == 1
        top = browser.js(
            """(c => c.getContext("2d").getImageData(5, 3, 1, 1).data[0])(document.querySelector("canvas"))"""
        )
        assert (top > 150) is (direction == "down")


class TestSafety:
    @pytest.mark.parametrize("start", range(0, 60, 8))
    def test_labels_stay_text(self, browser, tmp_path, start):
        labels = HOSTILE[start : start + 8]
        ds = fused(labels=labels)
        opened(browser, ds, tmp_path / "hostile.html", title=" ".join(labels), peaks=dict.fromkeys(labels, 1.0))
        assert browser.js("globalThis.pwned") is None
        made = "img, iframe, object, embed, base, link, form, a, video, audio, marquee, math, details, svg[onload]"
        assert browser.js(f"document.querySelectorAll('{made}, #explorer script').length") == 0
        shown = browser.js("Array.from(document.querySelectorAll('button bdi'), b => b.textContent)")
        assert shown == [clean(label) for label in labels]
        assert not set("\u202e\u2066\u200b\u2028") & set(browser.js("document.body.textContent"))
        assert browser.requests() == [(tmp_path / "hostile.html").resolve().as_uri()]
        assert browser.complaints() == []

    def test_nothing_else_may_run_and_nothing_is_fetched(self, browser, shown):
        browser.open(shown[1].path)
        assert browser.requests() == [shown[1].path.resolve().as_uri()]
        assert browser.complaints() == []
        browser.js("s = document.createElement('script'); s.textContent = 'pwned = 1'; document.body.append(s); 0")
        assert browser.js("globalThis.pwned") is None
        assert browser.js("fetch('https://example.org').then(() => 'reached', () => 'refused')") == "refused"

    def test_a_notebook_is_out_of_its_reach(self, browser, tmp_path):
        live = volumes.show(fused())
        html = live._repr_html_()
        assert 'sandbox="allow-scripts allow-downloads"' in html
        assert "same-origin" not in html.partition("srcdoc")[0]
        path = tmp_path / "notebook.html"
        path.write_text(f"<!doctype html><meta charset=utf-8><main id=explorer data-ready=1>secret</main>{html}")
        browser.open(path)
        inner = browser.frame()
        assert browser.js(f"{READY}.then(() => conspectus.values.count)", session=inner) == 3
        assert browser.js("origin", session=inner) == "null"
        reach = "(() => { try { return parent.document.title + '!'; } catch (e) { return e.name; } })()"
        assert browser.js(reach, session=inner) == "SecurityError"


def clean(text):
    turning = "\u2028\u2029\u202e\u2066\u2069\u200b\ufeff"
    return "".join("\ufffd" if ord(c) < 32 or c in turning else c for c in text)


def test_there_are_sixty_hostile_labels():
    assert len(set(HOSTILE)) == 60


def slide(browser, number, value):
    browser.js(f"(s => {{ s.value = {value}; s.oninput(); }})(document.querySelectorAll('input')[{number}])")


def pixels(browser):
    """Return a fingerprint of all canvases, drawn now."""
    return browser.js(
        """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
        let h = 0; for (const c of document.querySelectorAll("canvas")) for (const s of c.toDataURL())
        h = (31 * h + s.charCodeAt(0)) | 0; done(h); }, 0))))"""
    )


def projected(at, pose, yaw, pitch, width, height):
    """Return where the middle of a voxel lies in a picture: an independent calculation, in x, y, z of the frame."""
    size, step = np.array([31, 20, 14]), np.array([STEPS[dim] for dim in "xyz"])
    span = size * step
    own = ((np.array(at[::-1]) + 0.5) / size - 0.5) * span / np.linalg.norm(span)
    frame = own if pose is None else pose.matrix[:3, :3][::-1, ::-1] @ own
    right = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    vertical = np.array([0.0, 0.0, -1.0])  # z runs down the page
    eye = np.cos(pitch) * np.cross(right, vertical) + np.sin(pitch) * vertical
    up = np.cross(eye, right)
    half = 0.55
    return np.array([(frame @ right / (half * width / height) + 1) / 2 * width, (1 - frame @ up / half) / 2 * height])


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"components": ["gold"]}, "no component 'gold'"),
            ({"variable": "gold"}, "no variable 'gold'"),
            ({"precision": "double"}, "precision is one of noise, exact"),
            ({"region": {"x": (50.0, 60.0)}}, "no voxel with x"),
            ({"region": {"energy": (0.0, 1.0)}}, "region names spatial dims"),
        ],
    )
    def test_options(self, tmp_path, options, reason):
        with pytest.raises(DataError, match=reason):
            volumes.page(fused(), tmp_path / "never.html", **options)

    def test_too_many_components_and_uneven_axes(self, tmp_path):
        with pytest.raises(DataError, match="1 to 8 components"):
            volumes.page(fused(labels=list("abcdefghi")), tmp_path / "never.html")
        uneven = fused().isel(x=[0, 1, 3, 9])
        with pytest.raises(DataError, match="x is not uniform"):
            volumes.page(uneven, tmp_path / "never.html")

    def test_a_file_is_written_whole_or_not_at_all(self, tmp_path):
        with pytest.raises(StoreError, match=r"a \.html file"):
            volumes.page(fused(), tmp_path / "page.htm")
        assert list(tmp_path.iterdir()) == []


def test_show_says_what_it_shows():
    live = volumes.show(fused())
    assert repr(live).startswith("fused: 7 × 12 × 17 voxels (z, y, x) of 0.5 × 0.3 × 0.2 µm")
    assert escape("<") in live._repr_html_()
    assert isinstance(live, pages.Live)
