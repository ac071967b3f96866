"""Carry out a recipe: its steps with progress, then the results, all of them or none."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import fusion
import volumes
from conspectus import records
from conspectus.errors import RecipeError
from conspectus.meter import Cost, Meter
from conspectus.pages import report
from conspectus.project import Project
from conspectus.recipes import plan
from conspectus.recipes.journal import Journal
from conspectus.recipes.recipe import Recipe
from conspectus.records import Run
from fusion.progress import Work, shown_by

PROJECT: Final = "specimen.nc"
FUSED: Final = "fused.nc"
PICTURE: Final = "fused.png"
REPORT: Final = "report.html"
STEPS: Final = ".steps"
"""The folder of finished steps."""


def run(recipe: Recipe, out: Path, *, fresh: bool = False, console: Console | None = None) -> Project:
    """Carry out a recipe and write its results to a folder.

    ``specimen.nc`` has all datasets, ``fused.nc`` the fused one for programs that know neither groups nor components,
    ``fused.png`` shows it, and ``report.html`` has the findings.

    Parameters
    ----------
    recipe : Recipe
    out : Path
        The folder; made if it is not there. Results of an earlier run are replaced once the new ones are complete.
        Its folder ``.steps`` keeps what each step made: a step with the same parameters, inputs and versions is not
        carried out again, in the next run or after one that failed.
    fresh : bool
        Carry out every step.
    console : rich.console.Console, optional
        Where progress and the closing table go.

    Returns
    -------
    Project
        Datasets, findings and pictures.

    Raises
    ------
    ConspectusError
        If a step fails; nothing is written then, and the steps before it are kept.
    """
    console = console or Console(markup=False)
    if out.exists() and not out.is_dir():
        raise RecipeError(f"{out} is a file; name a folder with --out")
    plan.require(recipe)
    project = Project(folder=recipe.folder)
    journal = Journal(None if fresh else out / STEPS)
    with _aside(out) as folder, _progress(console) as progress, shown_by(partial(_Inner, progress)):
        stages = _stages(recipe, project, journal, folder, out.with_name(f".{out.name}.blocks"))
        costs = _carried_out(stages, progress)
        page = report.page(recipe.title, recipe.about, project, costs, folder / PICTURE)
        (folder / REPORT).write_text(page, encoding="utf-8")
    journal.clear()
    _close(console, recipe.title, project, costs, out)
    return project


class _Stage(NamedTuple):
    """One line of the progress bar, and what is done there."""

    name: str
    do: Callable[[], None]


def _stages(recipe: Recipe, project: Project, journal: Journal, folder: Path, blocks: Path) -> list[_Stage]:
    steps = [_Stage(step.do, partial(journal.carry_out, step, project)) for step in recipe.step]
    save = _Stage("save", partial(_save, project, recipe, journal, folder, blocks))
    return [*steps, save, _Stage("render", partial(_render, project, recipe, folder))]


def _carried_out(stages: Sequence[_Stage], progress: Progress) -> list[Cost]:
    """Carry out the stages in order, and return what each took."""
    costs = []
    task = progress.add_task("", total=len(stages))
    for stage in stages:
        progress.update(task, description=stage.name)
        with Meter() as meter:
            stage.do()
        costs.append(Cost(stage.name, meter.seconds, meter.peak))
        progress.advance(task)
    return costs


def _save(project: Project, recipe: Recipe, journal: Journal, folder: Path, blocks: Path) -> None:
    """Save the fused dataset and those that the recipe keeps, with the record of the run.

    Lazy blocks stay in `blocks` if the run is stopped.
    """
    tree = project.tree().filter(lambda node: recipe.keep is None or node.name in ("fused", *recipe.keep))
    record = Run(
        recipe=recipe.model_dump(mode="json", exclude_none=True),
        steps=journal.steps,
        environment=records.environment(),
    )
    tree.attrs[records.ATTRIBUTE] = json.dumps(record)
    fusion.save(tree, folder / PROJECT, blocks=blocks)
    fusion.export(project["fused"], folder / FUSED)


def _render(project: Project, recipe: Recipe, folder: Path) -> None:
    picture = volumes.picture(project["fused"], folder / PICTURE, **recipe.picture.model_dump())
    if picture.note:
        project.find("picture", "flat", picture.note)


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out`; its files move there at the end, or vanish with it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise RecipeError(f"{out}: cannot write there ({error.strerror}); choose another folder with --out") from error
    try:
        yield folder
        out.mkdir(exist_ok=True)
        for item in folder.iterdir():
            item.replace(out / item.name)
    except OSError as error:
        if isinstance(error, fusion.ConspectusError):
            raise
        raise RecipeError(f"{out}: results could not be written ({error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)


class _Inner:
    """A bar of a step, below that of the run."""

    def __init__(self, progress: Progress, work: Work) -> None:
        self._progress = progress
        self._bar = progress.add_task(f"  {work.name}, {work.unit}", total=work.total)

    def to(self, done: float) -> None:
        self._progress.update(self._bar, completed=int(done))

    def close(self) -> None:
        self._progress.remove_task(self._bar)


def _close(console: Console, title: str, project: Project, costs: list[Cost], out: Path) -> None:
    findings = Table(title=title, title_justify="left", title_style="bold")
    for name in ("quantity", "value", "note"):
        findings.add_column(name, overflow="fold")
    for finding in project.findings:
        findings.add_row(*finding)
    steps = Table()
    steps.add_column("step")
    steps.add_column("time", justify="right")
    steps.add_column("peak memory", justify="right")
    for cost in costs:
        steps.add_row(cost.step, f"{cost.seconds:.2f} s", f"{cost.peak:.0f} MB")
    total = sum(cost.seconds for cost in costs)
    steps.add_row("together", f"{total:.2f} s", f"{max(cost.peak for cost in costs):.0f} MB", style="bold")
    console.print(findings)
    console.print(steps)
    console.print(
        f"Written: {', '.join(str(out / name) for name in (PROJECT, FUSED, PICTURE, REPORT))}", soft_wrap=True
    )
