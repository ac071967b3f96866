"""Run the cells of notebooks in order, as Jupyter would; figures that a cell ends with are saved where asked.

python notebooks/run.py [--pictures FOLDER] [--again] [NOTEBOOK ...]

With --again everything runs twice, and every dataset must come out the same to the last bit; on one thread it does
(OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import time
from pathlib import Path
from typing import Any

import xarray as xr

from fusion.fingerprint import fingerprint


def cells(notebook: Path) -> list[str]:
    """Return the code of a notebook, cell by cell."""
    read = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in read["cells"] if cell["cell_type"] == "code"]


def shown(code: str, names: dict[str, Any], place: str) -> Any:
    """Run a cell and return the value of its last line, if that is an expression."""
    tree = ast.parse(code, place)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, place, "exec"), names)
    return eval(compile(ast.Expression(last.value), place, "eval"), names) if last else None


def run(notebook: Path, pictures: Path | None) -> dict[str, str]:
    """Run the cells of a notebook; return the sha256 of each dataset after each cell that makes or changes it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    made: dict[str, str] = {}
    for number, code in enumerate(cells(notebook)):
        start, place = time.perf_counter(), f"{notebook.stem}-{number}"
        before = dict(names)
        value = shown(code, names, place)
        if pictures and hasattr(value, "savefig"):
            pictures.mkdir(parents=True, exist_ok=True)
            value.savefig(pictures / f"{place}.png", dpi=100)
        print(f"{place}: {time.perf_counter() - start:.1f} s", flush=True)
        fresh = {name: ds for name, ds in names.items() if isinstance(ds, xr.Dataset) and before.get(name) is not ds}
        made |= {f"{place}, {name}": fingerprint(ds) for name, ds in fresh.items()}
    return made


def main() -> None:
    """Run what the command line names, or all notebooks of this folder."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(here.glob("*.ipynb")))
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    for notebook in options.notebooks:
        made = run(notebook, options.pictures)
        if options.again:
            again = run(notebook, None)
            different = [name for name, digest in made.items() if again[name] != digest]
            if different:
                sys.exit(f"{notebook}: not the same again: {', '.join(different)}")
            print(f"{notebook}: {len(made)} datasets came out the same, to the last bit")


if __name__ == "__main__":
    main()
