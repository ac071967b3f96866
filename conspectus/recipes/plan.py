"""What a recipe will do, before it does it: every name that it uses is there, and how large the results will be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import xarray as xr
from rich.console import Console
from rich.table import Table

import fusion
from conspectus.errors import RecipeError
from conspectus.project import Project
from conspectus.recipes.file_steps import FileStep
from conspectus.recipes.recipe import Recipe
from conspectus.recipes.step import Forecast, Step
from fusion.errors import FileReadError


class Line(NamedTuple):
    """A step, what it will make, and the bytes of all datasets after it."""

    step: Step
    made: Forecast
    held: int


def require(recipe: Recipe) -> None:
    """Refuse a recipe that would fail: names that no step makes, files that are not there, no fused dataset.

    Raises
    ------
    RecipeError
        With every fault.
    """
    faults = list(_faults(recipe))
    if faults:
        raise RecipeError("; ".join(faults))


def show(recipe: Recipe, *, console: Console | None = None) -> None:
    """Print what each step takes and makes, with sizes, and how much data is held after it; nothing is computed."""
    console = console or Console(markup=False)
    require(recipe)
    table = Table(title=recipe.title, title_justify="left", title_style="bold")
    for name in ("step", "takes", "makes", "held after it"):
        table.add_column(name, overflow="fold")
    planned = list(lines(recipe))
    for number, (step, made, held) in enumerate(planned, 1):
        sizes = (f"{name}: {'known once it is run' if ds is None else _sizes(ds)}" for name, ds in made.items())
        table.add_row(f"{number} {step.do}", ", ".join(step.reads), "\n".join(sizes), f"{held / 1e6:.1f} MB")
    console.print(table)
    largest = max(held for *_, held in planned)
    advice = "computing takes room of its own beside it, as a rule two to three times the largest dataset"
    console.print(f"The largest step holds {largest / 1e6:.0f} MB of data; {advice}.", soft_wrap=True)


def lines(recipe: Recipe) -> Iterator[Line]:
    """Yield what each step will leave. Files are opened, as their headers say what is in them."""
    project = Project(folder=recipe.folder)
    known: Forecast = {}
    for step in recipe.step:
        made = _made(step, project, known)
        known |= made
        yield Line(step, made, sum(ds.nbytes for ds in known.values() if ds is not None))


def _made(step: Step, project: Project, known: Forecast) -> Forecast:
    if any(known.get(name) is None for name in step.reads):
        return dict.fromkeys(step.makes)
    return step.forecast(project, {name: ds for name, ds in known.items() if ds is not None})


def _sizes(ds: xr.Dataset) -> str:
    sizes = ", ".join(f"{dim} {size}" for dim, size in ds.sizes.items())
    return f"{sizes} ({ds.nbytes / 1e6:.1f} MB)"


def _faults(recipe: Recipe) -> Iterator[str]:
    made: dict[str, None] = {}
    for number, step in enumerate(recipe.step, 1):
        for name in step.reads:
            if name not in made:
                yield f"step {number} ({step.do}): no earlier step makes {name!r}; so far there are {_listed(made)}"
        if isinstance(step, FileStep):
            yield from (f"step {number} ({step.do}): {fault}" for fault in _file_faults(step, recipe))
        made |= dict.fromkeys(step.makes)
    if "fused" not in made:
        yield 'no step makes the fused dataset; end with a step do = "fuse" or do = "backproject"'
    for name in recipe.keep or ():
        if name not in made:
            yield f"keep: there is no {name!r}; there are {_listed(made)}"


def _file_faults(step: FileStep, recipe: Recipe) -> Iterator[str]:
    try:
        path = step.path(recipe.folder)
    except (FileReadError, fusion.ConspectusError) as error:
        yield str(error)
        return
    if not path.exists():
        yield f"{path}: no such file"


def _listed(names: Mapping[str, None]) -> str:
    return ", ".join(names) or "none"
