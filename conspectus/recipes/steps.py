"""The steps of a recipe that serve every specimen. Each is a table of the TOML file and what it does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field

import fusion
import spectra
import volumes
from conspectus.errors import RecipeError
from conspectus.pages import figures
from conspectus.project import Project
from fusion.conventions import SPATIAL, signal_dim, spacing, spatial_dims
from fusion.frames import affine_pose
from fusion.specimens import measured
from fusion.variables import main_variable


class Step(BaseModel, ABC):
    """One step; `run` changes the project."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def run(self, project: Project) -> None:
        """Carry the step out."""


class Open(Step):
    """Open one item of a file as `name`; ``measured:`` before a file name asks the registry of measured files."""

    do: Literal["open"]
    name: str
    file: str
    wing: Literal["spectra", "volumes"]
    item: str | None = None
    voxel: str | dict[str, str] | None = None
    dims: list[str] | None = None

    def run(self, project: Project) -> None:
        """Open the file and say what came of it."""
        path = self._path(project.folder)
        if self.wing == "spectra":
            if self.voxel is not None or self.dims is not None:
                raise RecipeError(f"open {self.name}: voxel and dims are for images and volumes (wing = 'volumes')")
            ds = spectra.open(path, name=self.item)
        else:
            ds = volumes.open(path, name=self.item, voxel=self.voxel, dims=self.dims)
        project[self.name] = ds
        note = f"; voxel size {self.voxel} as the recipe states" if self.voxel else ""
        project.find(self.name, describe_axes(ds), f"{path.name}{note}")

    def _path(self, folder: Path) -> Path:
        name = self.file.removeprefix("measured:")
        return measured.locate(name) if name != self.file else folder / name


class Despike(Step):
    """Replace spikes of cosmic rays in the spectra of `of`."""

    do: Literal["despike"]
    of: str
    threshold: float = Field(default=8.0, gt=0)

    def run(self, project: Project) -> None:
        """Replace the dataset by the mended one."""
        raw = project[self.of]
        project[self.of] = spectra.despike(raw, threshold=self.threshold)
        name = str(main_variable(raw).name)
        changed = (project[self.of][name] != raw[name]).any(signal_dim(raw[name]))
        project.find("spikes removed", f"{int(changed.sum())} spectra", f"of {changed.size} in {self.of}")


class Baseline(Step):
    """Remove the baseline from each spectrum of `of`; `clip` sets what falls below zero to zero."""

    do: Literal["baseline"]
    of: str
    method: str = "asls"
    options: dict[str, int | float] = {}
    clip: bool = False

    def run(self, project: Project) -> None:
        """Replace the dataset by the corrected one."""
        raw = project[self.of]
        if {"ds", "method"} & set(self.options):
            raise RecipeError("baseline: options are those of the method; the method itself is the key method")
        flat = spectra.baseline(raw, method=self.method, **self.options)
        project[self.of] = spectra.clip(flat) if self.clip else flat
        project.pictures.append(figures.mean_spectra(raw, flat, self.of))
        if self.clip:
            name = str(main_variable(flat).name)
            below = float(flat[name].clip(max=0).sum() / abs(flat[name]).sum())
            project.find(
                "set to zero", f"{-100 * below:.2f} %", f"of the intensity of {self.of} lay below its baseline"
            )


class Crop(Step):
    """Keep a range of the signal axis of `of`, in the unit of the axis."""

    do: Literal["crop"]
    of: str
    axis: str
    low: float
    high: float

    def run(self, project: Project) -> None:
        """Replace the dataset by the range."""
        project[self.of] = spectra.crop(project[self.of], **{self.axis: (self.low, self.high)})


class Clean(Step):
    """Carry out a chain of cleaning steps on `of`: tables with the name of each as ``step``, and its arguments."""

    do: Literal["clean"]
    of: str
    chain: list[dict[str, Any]] = Field(min_length=1)

    def run(self, project: Project) -> None:
        """Replace the dataset by the cleaned one."""
        unnamed = [link for link in self.chain if not isinstance(link.get("step"), str)]
        if unnamed:
            raise RecipeError(f"clean {self.of}: each link of the chain names its step; received {unnamed[0]}")
        links = [(link["step"], {key: value for key, value in link.items() if key != "step"}) for link in self.chain]
        project[self.of] = spectra.clean(project[self.of], links)
        project.find(f"{self.of}: cleaned", " → ".join(name for name, _ in links))


class Decompose(Step):
    """Decompose the spectra of `of` into components, kept as `name`."""

    do: Literal["decompose"]
    of: str
    name: str = "components"
    components: int = Field(ge=1)
    names: list[str] | None = None
    method: spectra.Method = "nmf"
    weighting: Literal["poisson"] | None = None
    seed: int = Field(default=0, ge=0, lt=2**32)

    def run(self, project: Project) -> None:
        """Decompose and name the lines of each endmember where they are X-rays."""
        ds = project[self.of]
        result = spectra.decompose(ds, self.components, method=self.method, weighting=self.weighting, seed=self.seed)
        result = result if self.names is None else spectra.name_components(result, self.names)
        project[self.name] = result
        project.find(
            f"{self.name}: shares", _shares(result, self.method), f"{self.method}, {self.components} components"
        )
        if result.attrs.get("converged") == "no":
            project.find(self.name, "not converged", "ask for fewer components, crop the axis, or use method mcr")
        if "energy" in result.dims:
            for index, lines in enumerate(_lines(result)):
                project.find(f"component {index}", lines, "X-ray lines nearest to its peaks, candidates only")
        project.pictures.append(figures.endmembers(result))
        project.pictures.append(figures.abundances(result))


class Register(Step):
    """Find the pose of `moving` on `fixed` from landmarks: a dataset with a variable for each, or pairs."""

    do: Literal["register"]
    moving: str
    fixed: str
    model: Literal["rigid", "similarity", "affine"]
    landmarks: str | None = None
    pairs: list[tuple[list[float], list[float]]] | None = None
    sigma: float | None = None

    def run(self, project: Project) -> None:
        """Place the moving dataset in the frame of the fixed one."""
        moving, fixed = project[self.moving], project[self.fixed]
        points, targets, sigma = self._landmarks(project)
        result = fusion.register_landmarks(points, targets, model=self.model, sigma=sigma)
        onto, frame = affine_pose(fixed)
        # the fixed dataset is what the frame is known by: the moving one lies relative to it
        reference = fusion.Affine.exact(onto.matrix)
        project[self.fixed] = fusion.set_pose(fixed, reference, frame)
        project[self.moving] = fusion.set_pose(moving, reference @ result.transform, frame)
        note = f"{len(points)} pairs, {self.model}"
        project.find("landmark residual, rms", f"{1e3 * result.rms:.1f} nm", note)
        if result.transform.covariance is not None:
            expected = float(np.sqrt((result.tre(_corners(moving)).values ** 2).mean()))
            project.find("expected registration error", f"{1e3 * expected:.1f} nm", "rms over the corners of the map")
            project.pictures.append(figures.expected_error(result, moving, points))
        project.pictures.append(figures.alignment(moving, fixed, result))
        project.pictures.append(figures.residuals(result, points, fixed))

    def _landmarks(self, project: Project) -> tuple[np.ndarray, np.ndarray, np.ndarray | float | None]:
        if (self.landmarks is None) == (self.pairs is None):
            raise RecipeError("register: give either landmarks (a dataset) or pairs")
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


class Fuse(Step):
    """Place the decomposition `of` on the grid of `onto`, as their poses say; left out, it keeps its own grid."""

    do: Literal["fuse"]
    of: str = "components"
    onto: str | None = None
    depth: float | None = Field(default=None, gt=0)

    def run(self, project: Project) -> None:
        """Make the fused dataset."""
        components = project[self.of]
        if self.onto is None:
            project["fused"] = components
            return
        project["fused"] = fusion.fuse(components, project[self.onto], depth=self.depth)
        covered = float(project["fused"]["coverage"].mean())
        project.find("coverage", f"{100 * covered:.1f} %", f"of the grid of {self.onto}")


def _shares(result: xr.Dataset, method: str) -> str:
    """Say how much of the intensity each component makes; of the variance where components can be negative."""
    if method == "pca":
        shares = result["explained_variance"].values
    else:
        sums = result["abundance"].sum(spatial_dims(result["abundance"])).values
        shares = sums / sums.sum()
    return ", ".join(f"{100 * share:.1f} %" for share in shares)


def _lines(result: xr.Dataset) -> list[str]:
    """Return for each component the nearest line of each peak, highest peak first."""
    nearest: dict[tuple[int, float], str] = {}
    for line in spectra.identify(result):
        nearest.setdefault((line.component, line.position), line.name.replace("_", " "))
    return [
        ", ".join(dict.fromkeys(name for (component, _), name in nearest.items() if component == index))
        for index in range(result.sizes["component"])
    ]


def describe_axes(ds: xr.Dataset) -> str:
    """Say the size and spacing of each axis."""
    lines = []
    for dim in ds.sizes:
        step = spacing(ds[dim]) if dim in ds.coords and ds[dim].dtype.kind == "f" else None
        unit = ds[dim].attrs.get("units", "") if dim in ds.coords else ""
        lines.append(f"{dim} {ds.sizes[dim]}" + (f" × {step:.4g} {unit}" if step else ""))
    return ", ".join(lines)


def _corners(ds: xr.Dataset) -> np.ndarray:
    ends = [np.atleast_1d(ds[dim].values)[[0, -1]] if dim in ds.coords else np.zeros(2) for dim in SPATIAL]
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
