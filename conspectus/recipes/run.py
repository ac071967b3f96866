"""Carry out a recipe: its steps with progress, then the results, all of them or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import fusion
import volumes
from conspectus.errors import RecipeError
from conspectus.meter import Cost, Meter
from conspectus.pages import report
from conspectus.project import Project
from conspectus.recipes.recipe import Recipe


def run(recipe: Recipe, out: Path, *, console: Console | None = None) -> Project:
    """Carry out a recipe and write ``fused.nc``, ``fused.png`` and ``report.html`` to a folder.

    Parameters
    ----------
    recipe : Recipe
    out : Path
        The folder; made if it is not there. Results of an earlier run are replaced when the new ones are whole.
    console : rich.console.Console, optional
        Where progress and the closing table go.

    Returns
    -------
    Project
        Datasets, findings and pictures.

    Raises
    ------
    ConspectusError
        Whatever stood in the way; nothing is written then.
    """
    console = console or Console(markup=False)
    project = Project(folder=recipe.folder)
    costs: list[Cost] = []
    if out.exists() and not out.is_dir():
        raise RecipeError(f"{out} is a file; name a folder with --out")
    with _aside(out) as folder, _progress(console) as progress:
        task = progress.add_task("", total=len(recipe.step) + 2)
        for step in recipe.step:
            progress.update(task, description=step.do)
            with Meter() as meter:
                step.run(project)
            costs.append(Cost(step.do, meter.seconds, meter.peak))
            progress.advance(task)
        if "fused" not in project.nodes:
            raise RecipeError('no step makes the fused dataset; end with a step do = "fuse" or do = "backproject"')
        progress.update(task, description="save")
        with Meter() as meter:
            kept = recipe.keep
            unknown = sorted(set(kept or ()) - set(project.nodes))
            if unknown:
                raise RecipeError(f"keep: there is no {', '.join(unknown)}; there are {', '.join(project.nodes)}")
            tree = project.tree().filter(lambda node: kept is None or node.name in ("fused", *kept))
            fusion.save(tree, folder / "fused.nc")
        costs.append(Cost("save", meter.seconds, meter.peak))
        progress.advance(task)
        progress.update(task, description="render")
        with Meter() as meter:
            picture = volumes.picture(project["fused"], folder / "fused.png", **recipe.picture.model_dump())
        costs.append(Cost("render", meter.seconds, meter.peak))
        if picture.note:
            project.find("picture", "flat", picture.note)
        page = report.page(recipe.title, recipe.about, project, costs, folder / "fused.png")
        (folder / "report.html").write_text(page, encoding="utf-8")
        progress.advance(task)
    _close(console, recipe.title, project, costs, out)
    return project


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
    console.print(f"Written: {out / 'fused.nc'}, {out / 'fused.png'}, {out / 'report.html'}", soft_wrap=True)
