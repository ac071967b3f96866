"""Draw how a saved file came about: the steps of its run, and the steps behind each of its datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from conspectus import records
from fusion import provenance
from fusion.errors import FileReadError
from fusion.files import netcdf, store
from fusion.provenance import Provenance
from fusion.reading.paths import existing

_LONGEST = 60


def show(path: Path, *, console: Console | None = None) -> None:
    """Print the steps that a saved file knows of.

    Raises
    ------
    FileReadError
        If the file is missing, or `fusion.save` did not write it.
    """
    console = console or Console(markup=False)
    saved = netcdf.saved(existing(path))
    if not saved:
        raise FileReadError(path, "fusion.save did not write it", hint="open it and save it first")
    run = records.read(store.load(path, chunks={}))
    if run is not None:
        console.print(_run(run))
    for name, ds in saved.items():
        console.print(drawn(name or str(ds.attrs.get("title", path.stem)), provenance.read(ds)))


def drawn(name: str, known: Provenance) -> Tree:
    """Return the graph behind a dataset as a tree that begins at its last step; a step is drawn in full once."""
    tree = Tree(name)
    steps = {step["id"]: step for step in known["steps"]}
    drawn_before: set[str] = set()

    def add(branch: Tree, identity: str) -> None:
        step = steps.get(identity)
        if step is None or identity in drawn_before:
            branch.add(f"{step['name'] if step else 'a step'} {identity[:6]}, as above" if step else identity)
            return
        drawn_before.add(identity)
        made = ", ".join(f"{output} {digest[:8] if digest else 'lazy'}" for output, digest in step["outputs"].items())
        leaf = branch.add(f"{step['name']}({_arguments(step['parameters'])}) {identity[:6]} → {made}")
        for before in step["inputs"]:
            add(leaf, before["step"])

    if known["steps"]:
        add(tree, known["steps"][-1]["id"])
    for file in known["inputs"]:
        tree.add(f"from {file['path']}, sha256 {file['sha256'][:12]}…")
    return tree


def _run(run: records.Run) -> Table:
    environment = run["environment"]
    title = (
        f"{run['recipe']['title']}: conspectus {environment.get('conspectus', '?')}, {environment['threads']} threads"
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("step", "parameters", "takes", "makes"):
        table.add_column(column, overflow="fold")
    for number, step in enumerate(run["steps"], 1):
        stated = {key: value for key, value in step["parameters"].items() if value is not None}
        made = "\n".join(f"{name} {digest[:8]}" for name, digest in step["outputs"].items())
        table.add_row(f"{number} {step['do']}", _arguments(stated), "\n".join(step["inputs"]), made)
    return table


def _arguments(parameters: Mapping[str, Any]) -> str:
    texts = (f"{key}={_text(value)}" for key, value in parameters.items())
    return ", ".join(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in texts)


def _text(value: Any) -> str:
    """Return a parameter as text; of an array that lies beside the record its shape."""
    if isinstance(value, Mapping) and "array" in value:
        return f"array {' × '.join(map(str, value['shape']))}"
    return json.dumps(value, ensure_ascii=False)
