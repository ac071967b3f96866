"""Build the documentation as a site, without network: every warning is an error.

``python docs/site/build.py [FOLDER]``; the site is in FOLDER/html (out/docs/html).
"""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGES = ("fusion", "spectra", "volumes", "conspectus")
AT_THE_ROOT = ("CONVENTIONS.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
REFERENCE = re.compile(r"\[(\[\d+\])\]\(#(\d+)\)")
"""A number in a list of sources, whose target is an anchor of HTML."""


def staged(source: Path) -> None:
    """Bring all pages, pictures and notebooks into one folder."""
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("site"))
    shutil.copy(HERE / "conf.py", source)
    for name in AT_THE_ROOT:
        shutil.copy(ROOT / name, source / name.lower())
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, source / "notebooks")
    (source / "_static").mkdir()
    for page in source.rglob("*.md"):
        page.write_text(relinked(page, source), encoding="utf-8")
    for package in PACKAGES:
        (source / "api").mkdir(exist_ok=True)
        (source / "api" / f"{package}.rst").write_text(api(package), encoding="utf-8")


def relinked(page: Path, source: Path) -> str:
    """Return a page whose links lead to pages of the site; what is only a file of the project is named instead."""

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        name, here = Path(target).name, target.removeprefix("docs/")
        if name in AT_THE_ROOT:
            return f"[{text}]({'../' * (len(page.relative_to(source).parts) - 1)}{name.lower()}{anchor})"
        if "://" in target or (page.parent / target).exists():
            return match.group()
        if (page.parent / here).exists():
            return f"[{text}]({here}{anchor})"
        return text if text.startswith("`") else f"{text} (`{target.removeprefix('../')}`)"

    text = LINK.sub(link, page.read_text(encoding="utf-8"))
    return REFERENCE.sub(r'<a href="#\2">\1</a>', text)


def api(package: str) -> str:
    """Return the page of a package: its first line, and a page for each public name."""
    module = importlib.import_module(package)
    own = {name: getattr(module, name) for name in module.__all__}
    names = [name for name, item in own.items() if getattr(item, "__module__", "").startswith(package)]
    rows = "\n".join(f"   {name}" for name in names)
    first = (module.__doc__ or "").partition(": ")[2].strip()
    listing = f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{rows}\n"
    return f"{package}\n{'=' * len(package)}\n\n{first}\n\n.. currentmodule:: {package}\n\n{listing}"


def live(folder: Path) -> None:
    """Write the pages that the site embeds: a fused volume, and landmarks to pick."""
    import fusion
    import spectra
    import volumes

    tree = fusion.phantom(shape=(32, 150, 170), voxel=(0.03, 0.0225, 0.0225))
    chemistry, volume = tree["map"].to_dataset(), tree["volume"].to_dataset()
    marks = tree["landmarks"]
    placed = fusion.register_landmarks(marks["map"].values, marks["volume"].values, model="rigid")
    components = spectra.decompose(chemistry, 4, method="nmf", weighting="poisson")
    fused = fusion.fuse(components, volume, transform=placed.transform, depth=0.06)
    volumes.page(fused, folder / "fused.html", largest=2e6)
    electrons = volume.isel(z=0).drop_vars("pose")
    total = chemistry["counts"].sum("energy", keep_attrs=True).rename("total")
    picked = marks.to_dataset()[["map", "volume"]].rename(map="moving", volume="fixed")
    volumes.pick_page(chemistry.assign(total=total)[["total"]], electrons, folder / "pick.html", landmarks=picked)


def main() -> int:
    """Stage and build; return what Sphinx returns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "out" / "docs")
    folder = parser.parse_args().folder
    from sphinx.cmd.build import main as sphinx

    source = folder / "source"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    staged(source)
    live(source / "_static")
    return sphinx(["-W", "--keep-going", "-q", "-b", "html", str(source), str(folder / "html")])


if __name__ == "__main__":
    sys.exit(main())
