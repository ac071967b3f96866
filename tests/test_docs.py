"""The documentation: every block of Python runs, every link leads somewhere. ``make docs`` builds the site of it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "docs" / "start.md", *(ROOT / "docs" / "howto").glob("*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(
    page: Path, measured: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fusion.specimens.measured.locate", measured)  # no page fetches a file from the network
    names: dict[str, object] = {}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.stem)
def test_links_to_files_lead_to_files(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_gallery_is_made_by_its_code(
    measured: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block draws the picture that stands below it, from files that were measured."""
    monkeypatch.setenv("CONSPECTUS_DATA", str(measured("afm/nsfopen/MoS2.nid").parents[2]))
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in BLOCK.findall(text):
        exec(compile(block, "pictures.md", "exec"), names)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(re.findall(r"\(pictures/(\w+\.png)\)", text))


@pytest.mark.parametrize("page", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda page: page.stem)
def test_a_notebook_is_short_and_kept_without_output(page: Path) -> None:
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(cells) < 15
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert any("Not to be read from it" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
