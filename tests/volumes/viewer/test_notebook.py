"""A notebook as Jupyter saves it: executed, made HTML, opened without a network; its page is live and locked in."""

import nbclient
import nbconvert
import nbformat
import numpy as np
import pytest

import fusion
import volumes
from tests.makers.browser import Browser

CELL = """
import numpy as np
import fusion, volumes
rng = np.random.default_rng(0)
amounts = rng.gamma(2.0, 50.0, (5, 7, 9, 2))
axes = {dim: fusion.Axis("um", 0.5) for dim in "zyx"}
axes |= {"component": ["iron", "oxygen"], "energy": fusion.Axis("keV", 0.1)}
ds = fusion.dataset({"abundance": (("z", "y", "x", "component"), amounts, {"units": "count"}),
                     "endmember": (("component", "energy"), rng.dirichlet(np.ones(20), 2))},
                    axes, name="fused", cell_methods="mean")
volumes.show(ds)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def executed():
    cells = [nbformat.v4.new_markdown_cell("# A question"), nbformat.v4.new_code_cell(CELL)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_saved_notebook_is_live_and_its_page_cannot_leave_its_frame(browser, tmp_path):
    notebook = executed()
    html, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    path = tmp_path / "notebook.html"
    path.write_text(html.replace("<body", '<main id="explorer" data-ready="1"></main><body', 1), encoding="utf-8")
    browser.open(path)
    inner = browser.frame()
    ready = "new Promise(r => (function f() { globalThis.conspectus ? r() : setTimeout(f, 20); })())"
    browser.js(ready, session=inner)
    browser.js("conspectus.go([2, 3, 4])", session=inner)
    found = browser.js("Array.from(conspectus.spectrum().values)", session=inner)
    rng = np.random.default_rng(0)
    amounts = rng.gamma(2.0, 50.0, (5, 7, 9, 2))[2, 3, 4]
    truth = amounts @ rng.dirichlet(np.ones(20), 2)
    np.testing.assert_allclose(found, truth, rtol=0.02, atol=0.05)
    assert browser.js("origin", session=inner) == "null"
    for reach in ("parent.document.title", "top.document.cookie", "localStorage.length"):
        tried = f"(() => {{ try {{ return {reach} + '!'; }} catch (error) {{ return error.name; }} }})()"
        assert browser.js(tried, session=inner) == "SecurityError"
    assert browser.js("fetch('https://example.org').then(() => 'reached', () => 'refused')", session=inner) == "refused"


def test_the_overview_of_a_tree_has_a_picture_in_a_notebook():
    axes = {dim: fusion.Axis("um", 0.5) for dim in "yx"}
    image = fusion.dataset({"image": (("y", "x"), np.eye(6))}, axes, name="a", cell_methods="mean")
    assert "data:image/png;base64," in volumes.overview(image)._repr_html_()
