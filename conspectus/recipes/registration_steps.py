"""The step that finds where one dataset lies on another, from landmarks or from images."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

import fusion
from conspectus.errors import RecipeError
from conspectus.pages import figures
from conspectus.project import Project
from conspectus.recipes.step import Names, Step
from fusion.conventions import SPATIAL
from fusion.frames import affine_pose


class Register(Step):
    """Find the pose of `moving` on `fixed`: from landmarks (a dataset with a variable for each, or pairs) or images.

    With ``method = "images"`` the search is about the poses of the two where they share a frame, else over all angles;
    an answer that is not sure ends the run unless ``uncertain = "keep"``.
    """

    do: Literal["register"]
    takes: ClassVar[Names] = ("moving", "fixed", "landmarks")
    gives: ClassVar[Names] = ("moving", "fixed")
    moving: str
    fixed: str
    model: Literal["translation", "rigid", "similarity", "affine"]
    method: Literal["landmarks", "images"] = "landmarks"
    landmarks: str | None = None
    pairs: list[tuple[list[float], list[float]]] | None = None
    sigma: float | None = None
    variable_moving: str | None = None
    variable_fixed: str | None = None
    turn: float | None = Field(default=None, ge=0, le=180)
    stretch: float | None = Field(default=None, ge=1)
    uncertain: Literal["refuse", "keep"] = "refuse"

    def run(self, project: Project) -> None:
        """Place the moving dataset in the frame of the fixed one."""
        moving, fixed = project[self.moving], project[self.fixed]
        transform = self._by_images(project) if self.method == "images" else self._by_landmarks(project)
        onto, frame = affine_pose(fixed)
        # the fixed dataset is what the frame is known by: the moving one lies relative to it
        reference = fusion.Affine.exact(onto.matrix)
        project[self.fixed] = fusion.set_pose(fixed, reference, frame)
        project[self.moving] = fusion.set_pose(moving, reference @ transform, frame)

    def _by_images(self, project: Project) -> fusion.Affine:
        moving, fixed = project[self.moving], project[self.fixed]
        start = _by_pose(moving, fixed)
        result = fusion.register_images(
            moving, fixed, model=self.model, start=start, turn=self.turn, stretch=self.stretch,
            variable_moving=self.variable_moving, variable_fixed=self.variable_fixed, uncertain=self.uncertain,
        )  # fmt: skip
        project.find(f"{self.moving} on {self.fixed}", str(result.verdict), f"by images, {self.model}")
        middle = _corners(moving).mean(axis=0)
        if start is not None:
            off = float(np.linalg.norm(result.transform(middle) - start(middle)))
            project.find("distance from the poses", f"{1e3 * off:.1f} nm", "between the answers of images and stage")
        if result.transform.covariance is not None:
            expected = float(np.sqrt((result.tre(_corners(moving)).values ** 2).mean()))
            project.find("expected registration error", f"{1e3 * expected:.1f} nm", "rms over the corners of the image")
        project.pictures.append(figures.alignment(moving, fixed, result))
        return result.transform

    def _by_landmarks(self, project: Project) -> fusion.Affine:
        assert self.model != "translation"
        moving, fixed = project[self.moving], project[self.fixed]
        points, targets, sigma = self._landmarks(project)
        result = fusion.register_landmarks(points, targets, model=self.model, sigma=sigma)
        note = f"{len(points)} pairs, {self.model}"
        project.find("landmark residual, rms", f"{1e3 * result.rms:.1f} nm", note)
        if result.transform.covariance is not None:
            expected = float(np.sqrt((result.tre(_corners(moving)).values ** 2).mean()))
            project.find("expected registration error", f"{1e3 * expected:.1f} nm", "rms over the corners of the map")
            project.pictures.append(figures.expected_error(result, moving, points))
        project.pictures.append(figures.alignment(moving, fixed, result))
        project.pictures.append(figures.residuals(result, points, fixed))
        return result.transform

    @model_validator(mode="after")
    def _has_the_keys_of_one_method(self) -> Register:
        of_landmarks = {"landmarks", "pairs", "sigma"}
        of_images = {"variable_moving", "variable_fixed", "turn", "stretch", "uncertain"}
        others = of_landmarks if self.method == "images" else of_images
        # a saved recipe states every key; one at its default says nothing
        wrong = [key for key in others if getattr(self, key) != type(self).model_fields[key].default]
        if wrong:
            raise ValueError(f"{', '.join(sorted(wrong))} is no key of method = {self.method!r}")
        if self.method == "landmarks" and self.model == "translation":
            raise ValueError("landmarks fit rigid, similarity or affine; translation is for images")
        if self.method == "landmarks" and (self.landmarks is None) == (self.pairs is None):
            raise ValueError("give either landmarks (a dataset) or pairs")
        return self

    def _landmarks(self, project: Project) -> tuple[np.ndarray, np.ndarray, np.ndarray | float | None]:
        if self.pairs is not None:
            moving, fixed = ([pair[side] for pair in self.pairs] for side in (0, 1))
            return np.array(moving), np.array(fixed), self.sigma
        marks = project[self.landmarks or ""]
        missing = [name for name in (self.moving, self.fixed) if name not in marks]
        if missing:
            raise RecipeError(f"register: {self.landmarks} has no landmarks on {', '.join(missing)}")
        errors = [marks[f"{name}_sigma"].values for name in (self.moving, self.fixed) if f"{name}_sigma" in marks]
        picked = marks[self.moving].values
        sigma = np.broadcast_to(np.hypot(*errors), picked.shape) if len(errors) == 2 else self.sigma
        return picked, marks[self.fixed].values, sigma


def _corners(ds: xr.Dataset) -> np.ndarray:
    ends = [np.atleast_1d(ds[dim].values)[[0, -1]] if dim in ds.coords else np.zeros(2) for dim in SPATIAL]
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)


def _by_pose(moving: xr.Dataset, fixed: xr.Dataset) -> fusion.Affine | None:
    """Return the transform that two poses agree on; None where they share no frame, or a pose is a warp."""
    try:
        transform = fusion.between(moving, fixed)
    except fusion.FrameError:
        return None
    return transform if isinstance(transform, fusion.Affine) else None
