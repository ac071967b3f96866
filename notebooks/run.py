"""Run the cells of notebooks in order, as Jupyter would; figures that a cell ends with are saved where asked.

python notebooks/run.py [--pictures FOLDER] [NOTEBOOK ...]
"""

from __future__ import annotations

import argparse
import ast
import json
import time
from pathlib import Path
from typing import Any


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


def main() -> None:
    """Run what the command line names, or all notebooks of this folder."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(here.glob("*.ipynb")))
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    for notebook in given.notebooks:
        names: dict[str, Any] = {"__name__": "__main__"}
        for number, code in enumerate(cells(notebook)):
            start, place = time.perf_counter(), f"{notebook.stem}-{number}"
            value = shown(code, names, place)
            if given.pictures and hasattr(value, "savefig"):
                given.pictures.mkdir(parents=True, exist_ok=True)
                value.savefig(given.pictures / f"{place}.png", dpi=100)
            print(f"{place}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
