"""A saved result made again from its sources, step by step, and compared with what the file says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from rich.console import Console

import fusion
from conspectus import records
from conspectus.errors import RecipeError
from conspectus.project import Project
from conspectus.recipes import recipe as recipes
from conspectus.recipes.journal import Journal
from conspectus.recipes.session import Difference, Session
from conspectus.records import Record, Run
from fusion import provenance
from fusion.errors import FileReadError
from fusion.fingerprint import fingerprint


class Replay(NamedTuple):
    """What came of it.

    Attributes
    ----------
    differences : list of Difference
        Empty where every step made the same to the last bit.
    environment : list of str
        Versions, threads and source that are not those of the first run.
    """

    differences: list[Difference]
    environment: list[str]

    @property
    def same(self) -> bool:
        """Whether everything came out the same."""
        return not self.differences


def replay(path: Path, *, sources: Path | None = None) -> Replay:
    """Carry out the recipe that a saved project holds, and compare every result by its sha256.

    Of a file that a session of Python saved, the steps in the provenance of each dataset are carried out, and what each
    of them makes is compared.

    Parameters
    ----------
    path : Path
        ``specimen.nc`` of a run, or what `fusion.save` wrote.
    sources : Path, optional
        The folder to which files of the recipe are relative; left out, the working directory.

    Raises
    ------
    RecipeError
        If a source is missing, or a step cannot be carried out again, with the reason.
    """
    tree = fusion.load(path)
    if records.read(tree) is None:
        return _replayed_session(path, tree, sources or Path())
    run = read(path, tree)
    journal = Journal()
    project = Project(folder=sources or Path())
    for step in recipes.parsed(run["recipe"], str(path), project.folder).step:
        journal.carry_out(step, project)
    differences = [*_changed_since(run, tree), *_differences(run["steps"], journal.steps)]
    return Replay(differences, records.changed(run["environment"], records.environment()))


def _replayed_session(path: Path, saved: xr.Dataset | xr.DataTree, sources: Path) -> Replay:
    """Carry out the steps behind each dataset of a file that no recipe made."""
    differences, changes = [], dict[str, None]()
    for name, ds in _datasets(saved):
        session = Session(ds, sources)
        try:
            session.carry_out()
        except RecipeError as error:
            raise RecipeError(f"{path}: {name}: {error}") from error
        differences += session.differences
        changes |= dict.fromkeys(records.changed(provenance.read(ds)["versions"], provenance.versions()))
    return Replay(differences, list(changes))


def _datasets(saved: xr.Dataset | xr.DataTree) -> Iterator[tuple[str, xr.Dataset]]:
    if isinstance(saved, xr.Dataset):
        yield str(saved.attrs.get("title", "dataset")), saved
    else:
        yield from ((node.path.strip("/"), node.to_dataset()) for node in saved.subtree if node.has_data)


def read(path: Path, tree: Any) -> Run:
    """Return the run that a file holds.

    Raises
    ------
    RecipeError
        If no run made the file.
    """
    run = records.read(tree)
    if run is None:
        raise RecipeError(f"{path}: no recipe made this file; specimen.nc of a run can be made again")
    return run


def show(path: Path, *, sources: Path | None = None, console: Console | None = None) -> None:
    """Replay a file and say whether it came out the same.

    Raises
    ------
    FileReadError
        If it did not, naming the first step that differs and what has changed since.
    """
    console = console or Console(markup=False)
    result = replay(path, sources=sources)
    if result.same:
        console.print(f"{path}: every step gave the same result, to the last bit", soft_wrap=True)
        return
    hint = f"since then: {', '.join(result.environment)}" if result.environment else "nothing known has changed since"
    raise FileReadError(path, f"replay differs first at {result.differences[0]}", hint=hint)


def _changed_since(run: Run, tree: Any) -> Iterator[Difference]:
    """Yield what is no longer as the last step left it: somebody changed the file."""
    last = {name: digest for step in run["steps"] for name, digest in step["outputs"].items()}
    changed = [
        name
        for name, node in tree.children.items()
        if name in last and not last[name].startswith(records.LAZY) and fingerprint(node.to_dataset()) != last[name]
    ]
    if changed:
        yield Difference("the file, changed since its run", changed)


def _differences(before: Sequence[Record], now: Sequence[Record]) -> Iterator[Difference]:
    for number, (old, new) in enumerate(zip(before, now, strict=True), 1):
        names = [name for name, digest in new["outputs"].items() if old["outputs"].get(name) != digest]
        names += [
            f"the file {name}" for name, digest in new["files"].items() if old["files"].get(name, digest) != digest
        ]
        if names:
            yield Difference(f"step {number} ({new['do']})", names)
