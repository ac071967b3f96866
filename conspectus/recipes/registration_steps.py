"""The step that finds where one dataset lies on another: by landmarks, points, images or the stage."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

import fusion
from conspectus.errors import RecipeError
from conspectus.pages import figures
from conspectus.project import Project
from conspectus.recipes.step import Names, Step
from fusion.conventions import SPATIAL, signal_dim
from fusion.frames import affine_pose
from fusion.images.refinement import Model
from fusion.registration.pairs import positions
from fusion.variables import main_variable
from fusion.warp import Transform

_KEYS: Final = {
    "landmarks": {"model", "landmarks", "pairs", "sigma"},
    "points": {"model", "sigma"},
    "images": {"model", "sigma", "start", "variable_moving", "variable_fixed", "turn", "stretch", "uncertain"},
    "section": {"sigma", "start", "variable_moving", "variable_fixed", "turn", "reach", "uncertain"},
    "stage": {"sigma"},
    "transforms": {"transforms"},
}
"""The keys that belong to each method."""
_MODELS: Final = {
    "landmarks": ("rigid", "similarity", "affine", "warp"),
    "points": ("rigid", "similarity"),
    "images": ("translation", "rigid", "similarity", "affine", "warp"),
    "section": (None,),
    "stage": (None,),
    "transforms": (None,),
}


class Register(Step):
    """Find the pose of `moving` on `fixed`.

    ``method = "landmarks"`` takes a dataset with a variable for each, or pairs; "points" brings two tables of points
    together whose order is not known; "images" compares edges, about the poses of the two where they share a frame,
    else over all angles, and bends what is left with ``model = "warp"``; "section" finds the plane of the volume
    `fixed` that the image `moving` shows; "stage" believes the positions that both files state, and that the stage was
    one; "transforms" takes the poses of `transforms`, datasets that `read_transform` or another `register` made, and
    combines several by their covariances (`fusion.combine`). Images and sections are looked for about `start` (sixteen
    numbers) where it is there, spectra are compared by their sum, and an answer that is not sure ends the run unless
    ``uncertain = "keep"``.

    `name` keeps the transform as a dataset of its own, so that ``method = "transforms"`` can combine it with others.

    `sigma` is a standard deviation in um along each axis: of fixed minus moving of a landmark or point, or of the
    distance between two positions of the stage.
    """

    do: Literal["register"]
    takes: ClassVar[Names] = ("moving", "fixed", "landmarks")
    gives: ClassVar[Names] = ("moving", "fixed", "name")
    moving: str
    fixed: str
    model: Literal["translation", "rigid", "similarity", "affine", "warp"] | None = None
    method: Literal["landmarks", "points", "images", "section", "stage", "transforms"] = "landmarks"
    name: str | None = None
    transforms: list[str] | None = Field(default=None, min_length=1)
    landmarks: str | None = None
    pairs: list[tuple[list[float], list[float]]] | None = None
    sigma: float | None = Field(default=None, gt=0)
    start: list[float] | None = Field(default=None, min_length=16, max_length=16)
    variable_moving: str | None = None
    variable_fixed: str | None = None
    turn: float | None = Field(default=None, ge=0, le=180)
    stretch: float | None = Field(default=None, ge=1)
    reach: float | None = Field(default=None, gt=0)
    uncertain: Literal["refuse", "keep"] = "refuse"

    @property
    def reads(self) -> Names:
        """Return the names of its inputs."""
        return (*super().reads, *(self.transforms or ()))

    def run(self, project: Project) -> None:
        """Place the moving dataset in the frame of the fixed one."""
        moving, fixed = project[self.moving], project[self.fixed]
        ways = {"landmarks": self._by_landmarks, "points": self._by_points, "images": self._by_images,
                "section": self._by_section, "stage": self._by_stage, "transforms": self._by_transforms}  # fmt: skip
        transform = ways[self.method](project)
        if transform.is_uncertain:
            self._find_error(project, transform)
        if self.name is not None:
            project[self.name] = fusion.set_pose(xr.Dataset(), transform, "fixed")
        onto, frame = affine_pose(fixed)
        # the fixed dataset is what the frame is known by: the moving one lies relative to it
        reference = fusion.Affine.exact(onto.matrix)
        project[self.fixed] = fusion.set_pose(fixed, reference, frame)
        project[self.moving] = fusion.set_pose(moving, reference @ transform, frame)

    def _find_error(self, project: Project, transform: Transform) -> None:
        bent, moving = isinstance(transform, fusion.Warp), project[self.moving]
        squares = np.trace(transform.covariance_at((_lattice if bent else _corners)(moving)), axis1=1, axis2=2)
        expected = np.sqrt(squares[np.isfinite(squares)].mean())
        least = "at least " if transform.lower_bound else ""
        note = f"rms over {'what lies between the pairs' if bent else f'the corners of {self.moving}'}"
        project.find("expected registration error", f"{least}{1e3 * expected:.1f} nm", note)

    def _by_landmarks(self, project: Project) -> Transform:
        points, targets, sigma = self._landmarks(project)
        return self._by_pairs(project, points, targets, sigma, "refuse")

    def _by_pairs(
        self, project: Project, points: np.ndarray, targets: np.ndarray, sigma: np.ndarray | float | None,
        outliers: Literal["refuse", "drop"], *, absolute: bool = True,
    ) -> Transform:  # fmt: skip
        assert self.model is not None
        assert self.model != "translation"
        moving, fixed = project[self.moving], project[self.fixed]
        result = fusion.register_landmarks(
            points, targets, model=self.model, sigma=sigma, absolute_sigma=absolute, outliers=outliers
        )
        note = f"{int(result.kept.sum())} of {len(points)} pairs, {self.model}"
        project.find("landmark residual, rms", f"{1e3 * result.rms:.1f} nm", note)
        if result.transform.is_uncertain:
            project.pictures.append(figures.expected_error(result, moving, points))
        project.pictures.append(figures.alignment(moving, fixed, result.transform))
        project.pictures.append(figures.residuals(result, points, fixed))
        return result.transform

    def _by_points(self, project: Project) -> fusion.Affine:
        assert self.model in ("rigid", "similarity")
        assert self.sigma is not None
        moving, fixed = project[self.moving], project[self.fixed]
        result = fusion.register_points(moving, fixed, sigma=self.sigma, model=self.model)
        rows = result.pairs["point"].size
        note = (
            f"of {moving.sizes['point']} and {fixed.sizes['point']}, {self.model}; the next best way has {result.rival}"
        )
        project.find("points paired", str(rows), note)
        project.find("point residual, rms", f"{1e3 * result.rms:.1f} nm")
        paired = positions(moving, "moving")[result.pairs.sel(side="moving").values]
        project.pictures.append(figures.residuals(result, paired))
        return result.transform

    def _by_images(self, project: Project) -> Transform:
        assert self.model is not None
        start = self._start(project)
        model: Model = "affine" if self.model == "warp" else self.model
        moving, fixed = (self._image(project, side) for side in ("moving", "fixed"))
        result = fusion.register_images(
            moving, fixed, model=model, start=start, turn=self.turn, stretch=self.stretch, uncertain=self.uncertain,
            variable_moving=self.variable_moving, variable_fixed=self.variable_fixed,
        )  # fmt: skip
        self._report(project, result, start, f"by images, {model}")
        if self.model == "warp":
            ties = fusion.tie_points(
                moving, fixed, result.transform, variable_moving=self.variable_moving,
                variable_fixed=self.variable_fixed,
            )  # fmt: skip
            points, targets, sigma = (ties[name].values for name in ("moving", "fixed", "sigma"))
            return self._by_pairs(project, points, targets, sigma, "drop", absolute=False)
        project.pictures.append(figures.alignment(project[self.moving], project[self.fixed], result.transform))
        return result.transform

    def _by_section(self, project: Project) -> fusion.Affine:
        start = self._start(project)
        if start is None:
            raise RecipeError(f"register: {self.moving} and {self.fixed} share no frame; give start, sixteen numbers")
        result = fusion.find_section(
            self._image(project, "moving"), project[self.fixed], start=start,
            turn=10.0 if self.turn is None else self.turn, reach=self.reach, variable_image=self.variable_moving,
            variable_volume=self.variable_fixed, uncertain=self.uncertain,
        )  # fmt: skip
        self._report(project, result, start, "as a section")
        # of the volume that is the plane that the image shows, in the frame of the image
        back = result.transform.inverse()
        project.pictures.append(figures.alignment(project[self.fixed], project[self.moving], back))
        return result.transform

    def _image(self, project: Project, side: Literal["moving", "fixed"]) -> xr.Dataset:
        """Return the dataset of a side; its spectra by their sum, where no variable is named."""
        ds = project[getattr(self, side)]
        try:
            spectra = main_variable(ds) if getattr(self, f"variable_{side}") is None else None
        except fusion.ConventionError:
            spectra = None
        if spectra is None:
            return ds
        return spectra.sum(signal_dim(spectra), keep_attrs=True).to_dataset(name=str(spectra.name))

    def _start(self, project: Project) -> fusion.Affine | None:
        """Return where a search begins, with the error that sigma says: the key, or what the poses say."""
        moving, fixed = project[self.moving], project[self.fixed]
        start = _by_pose(moving, fixed) if self.start is None else fusion.Affine(np.reshape(self.start, (4, 4)))
        return start if start is None or self.sigma is None else _repeatable(start, self.sigma, moving)

    def _report(
        self, project: Project, result: fusion.ImageRegistration, start: fusion.Affine | None, note: str
    ) -> None:
        project.find(f"{self.moving} on {self.fixed}", str(result.verdict), note)
        if start is not None:
            middle = _corners(project[self.moving]).mean(axis=0)
            off = float(np.linalg.norm(result.transform(middle) - start(middle)))
            project.find(
                "distance from the start", f"{1e3 * off:.1f} nm", "of the answer from the poses, or from start"
            )
        project.find("kind of the error", result.covariance_kind, "what the scatter of parts of the image tells")

    def _by_stage(self, project: Project) -> fusion.Affine:
        moving, fixed = project[self.moving], project[self.fixed]
        (pose, frame), (onto, other) = affine_pose(moving), affine_pose(fixed)
        for name, known in ((self.moving, frame), (self.fixed, other)):
            if not known.on_stage:
                raise RecipeError(f"register: the file of {name} states no position of a stage; use another method")
        transform = onto.inverse() @ pose
        note = "one stage" if frame == other else f"taken for one: {frame!r} and {other!r}"
        if self.sigma is None:
            note += "; the error is not known, give sigma"
        else:
            transform = _repeatable(transform, self.sigma, moving)
        project.find(f"{self.moving} on {self.fixed}", "by the stage", note)
        project.pictures.append(figures.alignment(moving, fixed, transform))
        return transform

    def _by_transforms(self, project: Project) -> fusion.Affine:
        estimates = [affine_pose(project[name])[0] for name in self.transforms or ()]
        transform = estimates[0] if len(estimates) == 1 else fusion.combine(*estimates)
        how = "as it is" if len(estimates) == 1 else "combined by their covariances"
        project.find(f"{self.moving} on {self.fixed}", f"by {', '.join(self.transforms or ())}", how)
        project.pictures.append(figures.alignment(project[self.moving], project[self.fixed], transform))
        return transform

    @model_validator(mode="after")
    def _has_the_keys_of_one_method(self) -> Register:
        # a saved recipe states every key; one at its default says nothing
        fields = type(self).model_fields
        wrong = [
            key for key in sorted(set().union(*_KEYS.values()) - _KEYS[self.method])
            if getattr(self, key) != fields[key].default
        ]  # fmt: skip
        if wrong:
            raise ValueError(f"{', '.join(wrong)} is no key of method = {self.method!r}")
        if self.model not in _MODELS[self.method]:
            raise ValueError(
                f"{self.method} take model = {', '.join(map(repr, _MODELS[self.method]))}; received {self.model!r}"
            )
        if self.method == "landmarks" and (self.landmarks is None) == (self.pairs is None):
            raise ValueError("give either landmarks (a dataset) or pairs")
        if self.method == "transforms" and self.transforms is None:
            raise ValueError("name the transforms: datasets of read_transform, or of register with a name")
        if self.method == "points" and self.sigma is None:
            raise ValueError("points without order need sigma, the standard deviation of fixed minus moving in um")
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
    ends = [(float(ds[dim].min()), float(ds[dim].max())) if dim in ds.coords else (0.0, 0.0) for dim in SPATIAL]
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)


def _lattice(ds: xr.Dataset) -> np.ndarray:
    """Return places all over a dataset (n, 3), in um."""
    ends = _corners(ds)
    low, high = ends.min(axis=0), ends.max(axis=0)
    sides = [np.linspace(first, last, 12 if last > first else 1) for first, last in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)


def _repeatable(transform: fusion.Affine, sigma: float, moving: xr.Dataset) -> fusion.Affine:
    """Return a transform that is known to so many um, at the middle of the dataset that it moves."""
    return transform.with_repeatability(shift=sigma, about=_corners(moving).mean(axis=0))


def _by_pose(moving: xr.Dataset, fixed: xr.Dataset) -> fusion.Affine | None:
    """Return the transform that two poses agree on; None where they share no frame, or a pose is a warp."""
    try:
        transform = fusion.between(moving, fixed)
    except fusion.FrameError:
        return None
    return transform if isinstance(transform, fusion.Affine) else None
