"""Steps with a known answer: the phantom, and the errors of a run against its truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import Field

import fusion
from conspectus.errors import RecipeError
from conspectus.pages import figures
from conspectus.project import Project
from conspectus.recipes.step import Forecast, Names, Step
from fusion.frames import affine_pose

Array = npt.NDArray[np.float64]


class Phantom(Step):
    """Make the specimen of `fusion.phantom`: map, volume, truth, map_truth and landmarks."""

    do: Literal["phantom"]
    takes: ClassVar[Names] = ()
    gives: ClassVar[Names] = ("map", "volume", "truth", "map_truth", "landmarks")
    seed: int = Field(default=0, ge=0)

    def run(self, project: Project) -> None:
        """Add its datasets to the project."""
        for name, node in fusion.phantom(seed=self.seed).children.items():
            project[str(name)] = node.to_dataset()
        counts = project["map"]["counts"]
        size = f"{counts.sizes['y']} × {counts.sizes['x']} spectra of {counts.sizes['energy']} channels"
        brightness = float(counts.sum("energy").mean())
        project.find("specimen", size, f"{brightness:.0f} counts a pixel, seed {self.seed}")

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Make it, which takes a second."""
        return {str(name): node.to_dataset() for name, node in fusion.phantom(seed=self.seed).children.items()}


class Judge(Step):
    """Measure the errors of ``fused`` and of the pose of ``map`` against the truth of the phantom."""

    do: Literal["judge"]
    takes: ClassVar[Names] = ("map", "map_truth", "truth", "components", "fused")
    gives: ClassVar[Names] = ()

    def run(self, project: Project) -> None:
        """Add the errors to the closing table."""
        self._require(project)
        self._pose(project)
        order = self._abundance(project)
        self._phases(project, order)
        self._spectrum(project)

    @staticmethod
    def _require(project: Project) -> None:
        """Refuse a run that cannot be judged: it needs the phantom, as many components as phases, and a volume."""
        true = project["map_truth"].sizes["component"]
        estimate = project["components"].sizes["component"]
        if estimate != true:
            raise RecipeError(f"judge: the phantom has {true} phases; received {estimate} components")
        if "coverage" not in project["fused"]:
            raise RecipeError('judge: the components are not in the volume; put a step do = "fuse" with onto before')

    def _pose(self, project: Project) -> None:
        estimate, truth = project["map"], project["map_truth"]
        error = pose_error(affine_pose(estimate)[0], affine_pose(truth)[0], truth)
        pixel = 1e3 * float(truth["x"][1] - truth["x"][0])
        project.find("pose error", f"{error.shift:.2f} nm", f"rms over the map; {error.shift / pixel:.3f} of a pixel")
        project.find("pose error, angle", f"{error.angle:.4f} degrees")

    def _abundance(self, project: Project) -> Array:
        estimate, truth = project["components"], project["map_truth"]
        order = matching(estimate["endmember"], truth["endmember"])
        difference = estimate["abundance"].values[..., order] - truth["abundance"].values
        rmse = np.sqrt((difference**2).mean())
        mean = float(truth["abundance"].sum("component").mean())
        project.find(
            "abundance error, rms", f"{rmse:.1f} counts", f"of {mean:.0f} counts a pixel, {100 * rmse / mean:.1f} %"
        )
        return order

    def _phases(self, project: Project, order: Array) -> None:
        fused, truth = project["fused"], project["truth"]["phase"].values
        covered = fused["coverage"].values == 1
        guess = fused["abundance"].values[covered][:, order].argmax(axis=-1)
        scores = dice(guess, truth[covered])
        names = project["map_truth"]["component"].values
        detail = ", ".join(f"{name} {score:.3f}" for name, score in zip(names, scores, strict=True))
        agreement = float((guess == truth[covered]).mean())
        project.find("phase agreement", f"{agreement:.4f}", f"share of {covered.sum()} voxels in their true phase")
        project.find("phase agreement, Dice", f"{scores.mean():.4f}", detail)
        project.pictures.append(figures.phases(fused, guess, truth, covered, list(names)))

    def _spectrum(self, project: Project) -> None:
        fused = project["fused"]
        z, y, x = (int(index[index.size // 2]) for index in np.nonzero(fused["coverage"].values))
        position = {"z": float(fused["z"][z]), "y": float(fused["y"][y]), "x": float(fused["x"][x])}
        spectrum = fusion.spectrum(fused, **position)
        direct = fused["abundance"].values[z, y, x] @ fused["endmember"].values
        worst = float(np.abs(spectrum.values - direct).max() / np.abs(direct).max())
        project.find("spectrum at a voxel", f"{worst:.1e}", "largest difference from abundance · endmember, relative")
        project.pictures.append(figures.spectrum(spectrum, position))


class PoseError(NamedTuple):
    """How far two poses lie apart: rms distance over the map in nm, and angle in degrees."""

    shift: float
    angle: float


def pose_error(estimate: fusion.Affine, truth: fusion.Affine, ds: xr.Dataset) -> PoseError:
    """Return how far two poses of a map lie apart, over its pixels."""
    y, x = np.meshgrid(ds["y"].values, ds["x"].values, indexing="ij")
    points = np.stack([np.full_like(y, float(ds["z"])), y, x], axis=-1)
    apart = np.linalg.norm(estimate(points) - truth(points), axis=-1)
    return PoseError(1e3 * float(np.sqrt((apart**2).mean())), (estimate @ truth.inverse()).angle)


def matching(estimate: xr.DataArray, truth: xr.DataArray) -> Array:
    """Return which estimated endmember is which true one: the pairing of largest summed cosine."""
    from scipy.optimize import linear_sum_assignment

    def unit(spectra: xr.DataArray) -> Array:
        values: Array = spectra.values / np.linalg.norm(spectra.values, axis=1, keepdims=True)
        return values

    chosen: Array = linear_sum_assignment(-unit(truth) @ unit(estimate).T)[1]
    return chosen


def dice(guess: Array, truth: Array) -> Array:
    """Return 2 |A and B| / (|A| + |B|) for each phase (Dice, Ecology 26, 297, 1945)."""
    phases = range(int(truth.max()) + 1)
    scores = [2.0 * ((guess == p) & (truth == p)).sum() / ((guess == p).sum() + (truth == p).sum()) for p in phases]
    return np.array(scores)
