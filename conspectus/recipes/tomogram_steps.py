"""Steps for projections through a specimen of which there is a tomogram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field

import fusion
import volumes
from conspectus.errors import RecipeError
from conspectus.pages import figures
from conspectus.project import Project
from conspectus.recipes.step import Forecast, Names, Step, planned
from fusion import correlation
from fusion.conventions import cell_methods, title, with_links
from fusion.frames import affine_pose
from fusion.statistics.profiles import radial_profile


class Orient(Step):
    """Find how the projections `views` sit on `tomogram`, and where `density` does; their files do not say it."""

    do: Literal["orient"]
    takes: ClassVar[Names] = ("views", "tomogram", "density")
    gives: ClassVar[Names] = ("views", "density")
    views: str
    tomogram: str
    density: str

    def run(self, project: Project) -> None:
        """Place all three in the frame of the tomogram, and report how sure that is."""
        tomogram, density, views = (project[name] for name in (self.tomogram, self.density, self.views))
        volume = tomogram[only(tomogram)]
        orientation = volumes.orient(views[only(views)], volume)
        shift = volumes.shift_between(density[only(density)], volume)
        onto, frame = affine_pose(tomogram)
        project[self.density] = fusion.set_pose(density, onto @ shift, frame)
        project[self.views] = views.assign_attrs(
            view_poses=np.ravel([(onto @ pose).matrix for pose in orientation.poses]),
            untilted_view=orientation.untilted,
        )
        self._report(project, orientation, shift)

    def _report(self, project: Project, orientation: volumes.Orientation, shift: fusion.Affine) -> None:
        best, second = np.sort(orientation.table.values.ravel())[[-1, -2]]
        note = f"correlation of what changes with tilt {best:.3f}; the next of 12 ways to place the views {second:.3f}"
        project.find("tilt axis of the views", orientation.tilt_axis, note)
        angles = orientation.angles.values
        scatter = np.abs((orientation.free_angles.values - angles + 180) % 360 - 180).max()
        steps = f"{angles[0]:.0f} to {angles[-1]:.0f} degrees in steps of {angles[1] - angles[0]:.1f}"
        project.find(
            "angles of the views", steps, f"each view's own best angle is within {scatter:.0f} degrees of this"
        )
        middle = f"view {orientation.untilted} at {angles[orientation.untilted]:.0f} degrees"
        project.find("untilted view", middle, "middle of the series; that the series is symmetric is assumed")
        voxels = shift.matrix[:3, 3] / _voxel(project[self.density])
        project.find(
            f"shift of {self.density} to {self.tomogram}",
            ", ".join(f"{value:+.1f}" for value in voxels) + " voxels (z, y, x)",
            "cross-correlation of the two volumes",
        )
        project.find("not determined", "sense of the tilt, handedness", "the rod is too round to tell")


class Backproject(Step):
    """Place projections along their beams, weighted by `density`, counts conserved; adds `name` to ``fused``."""

    do: Literal["backproject"]
    takes: ClassVar[Names] = ("views", "onto")
    gives: ClassVar[Names] = ("fused",)
    views: str
    onto: str
    name: str
    view: int | Literal["untilted"] | None = None

    def run(self, project: Project) -> None:
        """Average all placed views, or take the one that `view` names."""
        volume, series = project[self.onto], project[self.views]
        poses = self._poses(series)
        chosen = self._chosen(series.attrs["untilted_view"], len(poses))
        density = only(volume)
        results = (self._place(series, index, volume, density, poses[index]) for index in chosen)
        lost, placed = zip(*results, strict=True)
        mean = sum(placed[1:], start=placed[0]) / len(placed)
        mean.attrs = {**placed[0].attrs, "long_name": f"{self.views}, {len(placed)} views, placed along the beam"}
        fused = project.nodes.get("fused", volume)
        project["fused"] = fused.assign({self.name: mean})
        counts = float(series[only(series)].isel({_view_dim(series): chosen}).sum()) / len(chosen)
        kept = f"{float(mean.sum()):.2f} of {counts:.2f}"
        project.find(f"{self.name}: sum", kept, f"{100 * max(lost):.2f} % at most of a view fell beside {self.onto}")

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Count one variable more on the grid of `onto`."""
        volume = known[self.onto]
        more = planned({self.name: dict(zip("zyx", volume[only(volume)].shape, strict=True))})
        return {"fused": known.get("fused", volume).merge(more)}

    def _poses(self, series: xr.Dataset) -> list[fusion.Affine]:
        if "view_poses" not in series.attrs:
            raise RecipeError(f'backproject: nothing says how {self.views} lies; put a step do = "orient" before')
        return [fusion.Affine(matrix) for matrix in np.reshape(series.attrs["view_poses"], (-1, 4, 4))]

    def _chosen(self, untilted: int, count: int) -> list[int]:
        if self.view is None:
            return list(range(count))
        index = untilted if self.view == "untilted" else self.view
        if not 0 <= index < count:
            raise RecipeError(f"backproject: view = {index}, but there are views 0 to {count - 1}")
        return [index]

    @staticmethod
    def _place(
        series: xr.Dataset, index: int, volume: xr.Dataset, density: str, pose: fusion.Affine
    ) -> tuple[float, xr.DataArray]:
        view = series.isel({_view_dim(series): index}, drop=True)
        name = only(view)
        # a projection is a sum along the beam, whatever the reader took its values for
        view[name].attrs.update(cell_methods("yx", "sum"))
        transform = affine_pose(volume)[0].inverse() @ pose
        placed = fusion.backproject(view, volume, density=density, transform=transform, method="linear")[name]
        return float(placed.attrs.pop("lost_fraction")), placed


class Compare(Step):
    """Compare variables of ``fused`` with an independent tomogram: voxel by voxel, and around its long axis."""

    do: Literal["compare"]
    takes: ClassVar[Names] = ("fused", "tomogram")
    gives: ClassVar[Names] = ("fused",)
    variables: list[str] = Field(min_length=1)
    tomogram: str
    axis: Literal["z", "y", "x"]
    core: float = Field(gt=0)
    shell: float = Field(gt=0)

    def run(self, project: Project) -> None:
        """Add correlations and the radial profile; `core` is how deep the core lies below the surface, in um."""
        fused, tomogram = project["fused"], project[self.tomogram]
        missing = [name for name in self.variables if name not in fused]
        if missing:
            raise RecipeError(
                f"compare: {', '.join(missing)} not in fused, which has {', '.join(map(str, fused.data_vars))}"
            )
        moved = fusion.resample(tomogram, fused)[only(tomogram)].fillna(0.0)
        project["fused"] = fused.assign({self.moved: with_links(moved, [])})
        rod, core = self._regions(fused)
        for name in [only(fused), *self.variables]:
            values = [float(correlation(fused[name], moved, where, test="none")) for where in (None, rod, core)]
            text = ", ".join(f"{value:.3f}" for value in values)
            project.find(f"correlation of {name} with {self.tomogram}", text, "all voxels, within the rod, in its core")
        self._profiles(project, rod)
        self._planes(project)

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Count the tomogram on the grid of the fused dataset."""
        fused = known["fused"]
        more = planned({self.moved: dict(zip("zyx", fused[only(fused)].shape, strict=True))})
        return {"fused": fused.merge(more)}

    @property
    def moved(self) -> str:
        """Name of the tomogram on the grid of the fused dataset."""
        return f"{self.tomogram}_resampled"

    def _regions(self, fused: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
        """Return where the specimen is, and where it is deeper than `core`."""
        from scipy.ndimage import distance_transform_edt, gaussian_filter
        from skimage.filters import threshold_otsu

        density = fused[only(fused)]
        smooth = gaussian_filter(density.values.astype(np.float32), 1.0)
        rod = smooth > threshold_otsu(smooth[smooth > 0.02 * smooth.max()])
        depth = distance_transform_edt(rod, sampling=_voxel(fused))
        return density.copy(data=rod), density.copy(data=depth > self.core)

    def _profiles(self, project: Project, rod: xr.DataArray) -> None:
        fused = project["fused"]
        along = rod.any([dim for dim in rod.dims if dim != self.axis])
        ends = along[self.axis].values[along.values][[0, -1]]
        quarter = (ends[1] - ends[0]) / 4
        middle = (fused[self.axis] > ends[0] + quarter) & (fused[self.axis] < ends[1] - quarter)
        inner = (rod & middle).transpose(*rod.dims)
        centre = [float(rod[dim].where(inner).mean()) for dim in rod.dims if dim != self.axis]
        everywhere = middle.broadcast_like(rod).transpose(*rod.dims)
        profiles = {}
        for name in [only(fused), *self.variables, self.moved]:
            options = {"axis": self.axis, "centre": (centre[0], centre[1]), "width": self.shell}
            profile = radial_profile(fused[name], where=everywhere, **options)  # type: ignore[arg-type]
            profile = profile / fused[name].where(inner).mean()
            profiles[name] = profile.sel(radius=slice(0, 1.5 * _radius(rod, middle, self.axis)))
            profiles[name].attrs["long_name"] = "mean, relative to that of the rod"
            numbers = " ".join(f"{value:.2f}" for value in profiles[name].values)
            project.find(
                f"radial profile of {name}", numbers, f"shells of {1e3 * self.shell:g} nm from the axis outwards"
            )
        caption = f"Mean over shells around the axis along {self.axis}, over the middle half of the rod."
        project.pictures.append(figures.curves(profiles, "Radial profile", caption))

    def _planes(self, project: Project) -> None:
        fused = project["fused"]
        middle = fused.sizes[self.axis] // 2
        seen = fused[only(fused)].isel({self.axis: middle})
        bright = seen > 0.4 * seen.max()
        window = {dim: _reach(bright.any([other for other in bright.dims if other != dim])) for dim in bright.dims}
        names = [only(fused), *self.variables, self.moved]
        images = {name: fused[name].isel({self.axis: middle}).isel(window) for name in names}
        caption = f"The middle plane across {self.axis}, each on its own scale."
        project.pictures.append(figures.planes(images, "Across the rod", caption))


def only(ds: xr.Dataset) -> str:
    """Return the first variable that has pixels; the one that a reader opened."""
    names = [str(name) for name, variable in ds.data_vars.items() if {"y", "x"} <= set(variable.dims)]
    if not names:
        raise RecipeError(f"{title(ds)} has no variable with y and x; it has {', '.join(map(str, ds.data_vars))}")
    return names[0]


def _view_dim(series: xr.Dataset) -> str:
    return str(next(dim for dim in series[only(series)].dims if dim not in ("z", "y", "x")))


def _voxel(ds: xr.Dataset) -> list[float]:
    return [float(ds[dim][1] - ds[dim][0]) for dim in ("z", "y", "x")]


def _reach(bright: xr.DataArray) -> slice:
    """Return where a line is bright, and a fifth more to each side."""
    first, last = np.nonzero(bright.values)[0][[0, -1]]
    more = int(0.2 * (last - first)) + 1
    return slice(max(first - more, 0), last + more + 1)


def _radius(rod: xr.DataArray, middle: xr.DataArray, axis: str) -> float:
    """Return the radius in um of the disc that has the area of the rod's cross-section."""
    others = [str(dim) for dim in rod.dims if dim != axis]
    pixel = np.prod([float(rod[dim][1] - rod[dim][0]) for dim in others])
    area = float(rod.sum(others).where(middle).mean()) * pixel
    return float(np.sqrt(area / np.pi))
