"""A recipe: a TOML file that lists the steps from files to a fused dataset."""

from __future__ import annotations

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from conspectus.errors import RecipeError
from conspectus.recipes import (
    apply,
    file_steps,
    phantom_steps,
    registration_steps,
    segmentation_steps,
    steps,
    tomogram_steps,
)

Step = Annotated[
    file_steps.Open
    | file_steps.ReadLandmarks
    | file_steps.ReadTransform
    | file_steps.LoadAlignment
    | steps.Despike
    | steps.Baseline
    | steps.Crop
    | steps.Clean
    | steps.Decompose
    | steps.DecomposeJointly
    | registration_steps.Register
    | steps.Resample
    | steps.Fuse
    | apply.Apply
    | segmentation_steps.Segment
    | segmentation_steps.PhaseFraction
    | segmentation_steps.PartialVolume
    | segmentation_steps.Instances
    | tomogram_steps.Orient
    | tomogram_steps.Backproject
    | tomogram_steps.Compare
    | phantom_steps.Phantom
    | phantom_steps.Judge,
    Field(discriminator="do"),
]


class Picture(BaseModel):
    """How the fused dataset is drawn; the keys are those of `volumes.render`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variable: str | None = None
    style: Literal["volume", "slices", "both", "faces", "relief"] = "volume"
    components: list[str | int] | None = None
    colors: list[str] | None = None
    alpha: float = Field(default=0.7, ge=0, le=1)
    fade: bool = False
    cmap: str = "gray"
    opacity: float = Field(default=0.5, gt=0, le=1)


class Recipe(BaseModel):
    """What a recipe says.

    Attributes
    ----------
    title, about : str
        Head the report.
    picture : Picture
        How the fused dataset is drawn.
    keep : list of str
        Datasets that are saved beside the fused one; all if left out.
    step : list
        Carried out in this order; the key ``do`` says what each one does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    about: str = ""
    keep: list[str] | None = None
    step: list[Step] = Field(min_length=1)
    picture: Picture = Picture()
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """Where the recipe lies; files are named relative to it."""
        return self._folder


def read(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        Naming the step and the key, and what is allowed there.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: no such recipe")
    try:
        return _parsed(path.read_text(encoding="utf-8"), str(path), path.parent)
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not a text file in UTF-8 ({error.reason})") from error


def demo() -> Recipe:
    """Return the recipe that the package carries."""
    return _parsed(files("conspectus.recipes").joinpath("demo.toml").read_text(encoding="utf-8"), "demo.toml", Path())


def schema() -> dict[str, Any]:
    """Return the JSON schema of recipes, by which an editor completes and checks them while they are written."""
    found = Recipe.model_json_schema()
    found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    found["$defs"]["Apply"]["properties"]["function"]["enum"] = list(apply.functions())
    return found


def _parsed(text: str, name: str, folder: Path) -> Recipe:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name}: not valid TOML: {error}") from error
    return parsed(content, name, folder)


def parsed(content: dict[str, Any], name: str, folder: Path) -> Recipe:
    """Return the recipe that a table says; `name` is what errors call it, `folder` where its files are.

    Raises
    ------
    RecipeError
        Naming the step and the key, and what is allowed there.
    """
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{name}: {'; '.join(_sentence(fault, content) for fault in error.errors())}") from error
    recipe._folder = folder
    return recipe


def _sentence(fault: Any, content: dict[str, Any]) -> str:
    """Put a fault that pydantic reports into words, with the key and what is allowed instead."""
    where, model = _location(fault["loc"], content)
    key = str(fault["loc"][-1])
    if fault["type"] == "extra_forbidden":
        allowed = sorted(model.model_fields)
        close = difflib.get_close_matches(key, allowed, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{where}: {key!r} is not a key here; {hint}allowed are {', '.join(allowed)}"
    if fault["type"].startswith("union_tag"):
        return f"{where}: do = {fault.get('ctx', {}).get('tag', '')!r} is no step; allowed are {', '.join(_models())}"
    if fault["type"] == "value_error":
        return (
            f"{where}: {fault['ctx']['error']}"
            if where.endswith(f"({key})")
            else f"{where}: {key}: {fault['ctx']['error']}"
        )
    if fault["type"] == "missing":
        return f"{where}: {key!r} is missing"
    return f"{where}: {key} = {fault['input']!r} is not allowed ({fault['msg'][:1].lower()}{fault['msg'][1:]})"


def _models() -> dict[str, type[BaseModel]]:
    union = Step.__origin__.__args__  # type: ignore[attr-defined]
    return {model.model_fields["do"].annotation.__args__[0]: model for model in union}


def _location(loc: tuple[int | str, ...], content: dict[str, Any]) -> tuple[str, type[BaseModel]]:
    if loc[0] == "picture":
        return "picture", Picture
    if len(loc) < 2 or loc[0] != "step":
        return "recipe", Recipe
    number = int(loc[1])
    step = content["step"][number]
    do = str(step.get("do", "?")) if isinstance(step, dict) else "?"
    return f"step {number + 1} ({do})", _models().get(do, Recipe)
