"""A classifier of voxels: trees over features of known scales, trained once and kept in a file."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.conventions import spatial_dims, title
from fusion.errors import DataError, FileReadError
from fusion.files.aside import aside, refuse_suffix
from fusion.reading.paths import PathArg
from volumes.segmentation.annotation import Annotation, Marks, marks_on
from volumes.segmentation.features import FeatureSet, feature_blocks, feature_set, require_same
from volumes.segmentation.forest import Forest, checked, grow
from volumes.segmentation.image import image_of, steps_of
from volumes.segmentation.smoothing import best_width

Array = npt.NDArray[Any]
_FORMAT: Final = "conspectus classifier 1"
_FEWEST: Final = 5


@dataclass(frozen=True)
class Classifier:
    """Trees that tell the class of a voxel by its features.

    Parameters
    ----------
    names : dict of int to str
        What each label is called.
    features : FeatureSet
        Scales in um and axes.
    forest : Forest
    unit : str
        Of the image that it was trained on.
    annotation : str
        The sha256 of the annotated voxels.
    smooth : float
        Standard deviation in um of the window over which its probabilities are best averaged; 0 for none.
    """

    names: dict[int, str]
    features: FeatureSet
    forest: Forest
    unit: str
    annotation: str
    smooth: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """What the history of a segmentation says of the classifier."""
        scales, dims = list(self.features.scales), list(self.features.dims)
        return {"scales": scales, "dims": dims, "trees": len(self.forest.roots), "annotation": self.annotation}

    def halo(self, steps: Mapping[str, float]) -> dict[str, int]:
        """Return how many voxels beyond a block are needed."""
        return self.features.halo(steps)

    def of_block(self, block: Array, dims: tuple[str, ...], steps: Mapping[str, float]) -> Array:
        """Return the probabilities and the disagreement (spatial..., classes + 1) of a block without its rim."""
        found = self.features.of_block(block, dims, steps)
        flat = found.reshape(-1, found.shape[-1])
        out = self.forest.vote(flat)
        out[np.isnan(flat[:, 0])] = np.nan
        return out.reshape(*found.shape[:-1], -1)

    def require_image(self, image: xr.DataArray) -> None:
        """Refuse an image whose features are not those that it was trained on."""
        require_same(image, self.features, "the classifier")
        unit = str(image.attrs.get("units", "1"))
        if unit != self.unit:
            raise DataError(f"{image.name} is in {unit!r}, and the classifier was trained in {self.unit!r}")

    def save(self, path: PathArg) -> Path:
        """Write the classifier as ``.npz``: arrays and a header in JSON, no code.

        Parameters
        ----------
        path : path-like
            An existing file is replaced at once or not at all.

        Returns
        -------
        Path
            `volumes.load_classifier` reads it.
        """
        target = Path(path)
        refuse_suffix(target, (".npz",))
        header = {
            "format": _FORMAT,
            "labels": list(self.names),
            "names": list(self.names.values()),
            "scales": list(self.features.scales),
            "dims": list(self.features.dims),
            "unit": self.unit,
            "annotation": self.annotation,
            "smooth": self.smooth,
        }
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with aside(target) as beside:
            np.savez_compressed(beside, allow_pickle=False, header=text, **self.forest.arrays())
        return target


def train_classifier(
    ds: xr.Dataset,
    annotation: Annotation,
    *,
    variable: str | None = None,
    scales: Sequence[str | float] | None = None,
    trees: int = 100,
    seed: int = 0,
) -> Classifier:
    """Train extremely randomised trees on annotated voxels.

    Parameters
    ----------
    ds : Dataset
        With an image or volume on uniform axes in um; only blocks that hold annotated voxels or lie beside one are
        read.
    annotation : Dataset or sequence of Dataset
        Label images on the grid of `ds` or on part of it, such as one section, or points with the variable ``label``,
        as `volumes.random_points` and `volumes.suggest` give them. ``flag_values`` and ``flag_meanings`` say which
        values are classes; -1, and 0 where they do not name it, is a voxel that nobody annotated.
    variable : str, optional
        The image, where the dataset has several.
    scales : sequence of str or float, optional
        As for `volumes.features`.
    trees, seed : int
        Number of trees, and the seed of their random choices.

    Returns
    -------
    Classifier
        For ``volumes.segment(ds, model=classifier)``; ``save(path)`` keeps it. Its attribute ``smooth`` is the largest
        window, of the scales of the features, over which the probabilities of strokes left out may be averaged without
        harm; none with fewer than eight strokes, or single points, of a class.

    Raises
    ------
    ConventionError
        If there is no image or several, or no labels.
    DataError
        If fewer than two classes are annotated, a class has fewer than five voxels, one lies outside the image, or a
        parameter is out of range.
    UnitError
        If the pixel size is not known.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> image = np.random.default_rng(0).normal(size=(32, 32)); image[:, 16:] += 9.0
    >>> axes = {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)}
    >>> ds = dataset({"sem": (("y", "x"), image)}, axes, name="halves", cell_methods="mean")
    >>> painted = np.zeros((32, 32), int); painted[4:9, 4] = 1; painted[4:9, 28] = 2
    >>> flags = {"flag_values": [1, 2], "flag_meanings": "left right"}
    >>> marks = dataset({"label": (("y", "x"), painted, flags)}, axes, name="marks")
    >>> train_classifier(ds, marks, trees=10).names
    {1: 'left', 2: 'right'}
    """
    image = image_of(ds, variable)
    if trees < 1:
        raise DataError(f"trees is a positive number; received {trees!r}")
    marks = marks_on(image, annotation)
    _require_classes(marks, title(ds))
    chosen = feature_set(image, scales)
    blocks = feature_blocks(image, chosen)
    found = _at(blocks, marks.indices)
    measured = np.isfinite(found[:, 0])
    kept = Marks(marks.indices[measured], marks.labels[measured], marks.names)
    _require_classes(kept, title(ds))
    names = {label: name for label, name in marks.names.items() if (kept.labels == label).any()}
    forest = grow(found[measured], kept.labels, trees, seed)
    steps = [steps_of(image).get(dim, np.inf) for dim in spatial_dims(image)]
    smooth = best_width(partial(_at, blocks), kept, image.shape, steps, chosen.scales, seed)
    return Classifier(names, chosen, forest, str(image.attrs.get("units", "1")), marks.sha256, smooth)


def load_classifier(path: PathArg) -> Classifier:
    """Read a classifier that `Classifier.save` wrote; nothing in the file is carried out.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Classifier

    Raises
    ------
    FileReadError
        If it is missing, damaged, or no classifier.
    """
    source = Path(path)
    try:
        with source.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            kept = {name: arrays[name] for name in arrays.files if name != "header"}
        if header["format"] != _FORMAT:
            raise FileReadError(source, f"its format is {header['format']!r}, not {_FORMAT!r}")
        labels, names = map(int, header["labels"]), map(str, header["names"])
        chosen = FeatureSet(tuple(map(float, header["scales"])), tuple(map(str, header["dims"])))
        classes = dict(zip(labels, names, strict=True))
        forest = checked(kept, len(chosen.names), len(classes))
        return Classifier(classes, chosen, forest, str(header["unit"]), str(header["annotation"]),
                          float(header.get("smooth", 0.0)))  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, FileReadError):
            raise
        raise FileReadError(source, f"it is no classifier ({error})") from error


def _require_classes(marks: Marks, name: str) -> None:
    counts = {text: int((marks.labels == label).sum()) for label, text in marks.names.items()}
    present = {text: count for text, count in counts.items() if count}
    if len(present) < 2:
        raise DataError(f"{name}: at least two classes are to be annotated; the annotation has {counts}")
    few = {text: count for text, count in present.items() if count < _FEWEST}
    if few:
        raise DataError(f"{name}: at least {_FEWEST} annotated voxels of each class are needed; there are {few}")


def _at(blocks: Any, indices: Array) -> Array:
    """Return the rows (n, channels) of a dask array at indices (n, dims), one block at a time."""
    bounds = [np.cumsum((0, *sizes)) for sizes in blocks.chunks[:-1]]
    owners = np.stack([np.searchsorted(b, i, side="right") - 1 for b, i in zip(bounds, indices.T, strict=True)], axis=1)
    out = np.empty((len(indices), blocks.shape[-1]), np.float32)
    for owner in np.unique(owners, axis=0):
        mine = np.flatnonzero((owners == owner).all(axis=1))
        block = blocks.blocks[tuple(owner)].compute()
        start = [b[i] for b, i in zip(bounds, owner, strict=True)]
        out[mine] = block[tuple((indices[mine] - start).T)]
    return out
