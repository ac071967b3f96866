"""From an image to classes: the probability of each, the likeliest, and how far the trees disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.axes import length
from fusion.conventions import cell_methods, spatial_dims
from fusion.errors import DataError
from fusion.model import like
from fusion.progress import Progress
from volumes.segmentation.annotation import UNKNOWN, Annotation
from volumes.segmentation.classifier import Classifier, load_classifier, train_classifier
from volumes.segmentation.features import reach, smoothed
from volumes.segmentation.image import blockwise, computed, image_of, inner, steps_of
from volumes.segmentation.network import load_network

Array = npt.NDArray[Any]


class Model(Protocol):
    """What tells the classes of the voxels of a block."""

    @property
    def names(self) -> dict[int, str]:
        """What each label is called."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the history says of the model."""

    @property
    def smooth(self) -> float:
        """Standard deviation in um of the window over which its probabilities are best averaged; 0 for none."""

    def halo(self, steps: Mapping[str, float]) -> dict[str, int]:
        """Return how many voxels beyond a block are needed."""

    def of_block(self, block: Array, dims: tuple[str, ...], steps: Mapping[str, float]) -> Array:
        """Return probabilities and disagreement (spatial..., classes + 1) of a block without its rim."""

    def require_image(self, image: xr.DataArray) -> None:
        """Refuse an image that the model was not made for."""


def segment(
    ds: xr.Dataset,
    annotation: Annotation | None = None,
    *,
    model: Classifier | str | Path | None = None,
    variable: str | None = None,
    scales: Sequence[str | float] | None = None,
    smooth: str | float | None = "auto",
    trees: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Tell the class of each voxel, by trees that a few annotated voxels train.

    Parameters
    ----------
    ds : Dataset
        With an image or volume on uniform axes in um.
    annotation : Dataset or sequence of Dataset, optional
        Label images or points, as for `volumes.train_classifier`.
    model : Classifier, str or path, optional
        Instead of an annotation: a classifier, the file of one, or a neural network in a file that ends in ``.onnx``
        (extra ``ai``). It takes values (1, 1, y, x) or (1, 1, z, y, x) as they are and returns probabilities
        (1, classes, ..) of the same pixels; its metadata say ``classes`` by name, ``pixel``, the side as a length of
        the pixels that it was trained on, and ``halo``, the pixels beyond a block that it needs.
    variable : str, optional
        The image, where the dataset has several.
    scales, trees, seed
        As for `volumes.train_classifier`; a model has those that it was trained with.
    smooth : str or float, optional
        Standard deviation, as a length, of a Gaussian window over which the probabilities are averaged, across
        sections too: what is smaller than that, or is in one section alone, is taken for noise. ``"auto"`` is the
        window that `volumes.train_classifier` found on strokes left out; None is none.
    progress : callable, optional
        Called with the share that is done, from 0 to 1, where the dataset is not lazy.

    Returns
    -------
    Dataset
        ``label`` (spatial dims), the likeliest class, with -1 where the image is NaN; ``probability`` (.., component),
        with the classes on ``component``; and ``disagreement``, the mutual information of class and tree in nats: large
        where another annotation would decide. All lazy if the image is.

        The probabilities are shares of votes and have no error: they are not calibrated, and their mean over a volume
        is no fraction of it. `volumes.phase_fraction` corrects them by a few random points, with an error.

    Raises
    ------
    ConventionError
        If there is no image or several, or no labels.
    DataError
        If there is neither annotation nor model, or both, the classes are fewer than two, an annotated voxel lies
        outside the image, or the model was trained on another unit, other axes or finer pixels.
    FileReadError
        If the file of a model cannot be read.
    UnitError
        If the pixel size is not known.

    Notes
    -----
    Trees: P. Geurts, D. Ernst and L. Wehenkel, Mach. Learn. 63, 3 (2006). Disagreement: N. Houlsby et al.,
    arXiv:1112.5745 (2011).

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> image = np.random.default_rng(0).normal(size=(32, 32)); image[:, 16:] += 9.0
    >>> axes = {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0)}
    >>> ds = dataset({"sem": (("y", "x"), image)}, axes, name="halves", cell_methods="mean")
    >>> painted = np.zeros((32, 32), int); painted[4:9, 4] = 1; painted[4:9, 28] = 2
    >>> flags = {"flag_values": [1, 2], "flag_meanings": "left right"}
    >>> marks = dataset({"label": (("y", "x"), painted, flags)}, axes, name="marks")
    >>> result = segment(ds, marks, trees=20)
    >>> result["label"][0, [0, 31]].values, result["probability"].dims
    (array([1, 2], dtype=int32), ('y', 'x', 'component'))
    """
    image = image_of(ds, variable)
    chosen = _model(ds, image, annotation, model, scales, trees, seed)
    chosen.require_image(image)
    width = (chosen.smooth if smooth == "auto" else 0.0 if smooth is None else length(smooth)) or None
    data = _probabilities(image, chosen, width)
    arrays = [_labels(data, list(chosen.names)), data[..., :-1], data[..., -1]]
    if image.chunks is None:
        arrays = list(computed(arrays, "segment", progress))
    result = _labelled(ds, image, chosen.names, arrays)
    trained = {} if annotation is None else {"seed": seed}
    settings = {"variable": str(image.name), "smooth": width, **chosen.settings, **trained}
    marks = [annotation] if isinstance(annotation, xr.Dataset) else list(annotation or ())
    return provenance.record(result, "volumes.segment", settings, parents=marks)


def _model(
    ds: xr.Dataset,
    image: xr.DataArray,
    annotation: Annotation | None,
    model: Classifier | str | Path | None,
    scales: Sequence[str | float] | None,
    trees: int,
    seed: int,
) -> Model:
    if (annotation is None) == (model is None):
        raise DataError("give either an annotation or a model, e.g. segment(ds, painted) or segment(ds, model='a.npz')")
    if annotation is not None:
        return train_classifier(ds, annotation, variable=str(image.name), scales=scales, trees=trees, seed=seed)
    if scales is not None:
        raise DataError("scales belong to the training; a model has those that it was trained with")
    if isinstance(model, Classifier):
        return model
    path = Path(str(model))
    return load_network(path) if path.suffix == ".onnx" else load_classifier(path)


def _probabilities(image: xr.DataArray, model: Model, width: float | None) -> Any:
    """Return probabilities and disagreement (spatial..., classes + 1) as a dask array."""
    dims, steps = spatial_dims(image), steps_of(image)
    channels = len(model.names) + 1
    function = partial(model.of_block, dims=dims, steps=steps)
    data = blockwise(image.data, dims, model.halo(steps), function, channels)
    if width is None:
        return data
    sigma = tuple(width / steps[dim] if dim in steps else 0.0 for dim in dims)
    halo = {dim: reach(each) for dim, each in zip(dims, sigma, strict=True) if each}
    rims = tuple(halo.get(dim, 0) for dim in dims)
    return blockwise(data, dims, halo, partial(_smoothed, sigma=sigma, rims=rims), channels)


# A mean of probabilities is a probability again, and those of all classes still add up to one. The disagreement is left
# as the trees have it: it says where to annotate, and an average would point beside the place.
def _smoothed(block: Array, sigma: tuple[float, ...], rims: tuple[int, ...]) -> Array:
    out = np.array(inner(block, rims))
    seen = np.isfinite(block[..., 0])
    for k in range(block.shape[-1] - 1):
        out[..., k] = inner(smoothed(np.where(seen, block[..., k], np.float32(0.0)), seen, sigma), rims)
    out[~inner(seen, rims)] = np.nan
    return out


def _labels(data: Any, flags: list[int]) -> Any:
    def likeliest(block: Array) -> Array:
        winner = np.argmax(np.nan_to_num(block[..., :-1]), axis=-1)
        values = np.asarray(flags, dtype=np.int32)[winner]
        return np.where(np.isfinite(block[..., 0]), values, np.int32(UNKNOWN))

    return data.map_blocks(
        likeliest, drop_axis=data.ndim - 1, dtype=np.int32, meta=np.empty((0,) * (data.ndim - 1), "i4")
    )


def _labelled(ds: xr.Dataset, image: xr.DataArray, names: dict[int, str], arrays: list[Any]) -> xr.Dataset:
    dims = spatial_dims(image)
    mean = cell_methods(dims, "mean")
    flags = {
        "flag_values": np.array([*names, UNKNOWN], np.int32),
        "flag_meanings": " ".join([*names.values(), "outside"]),
    }
    component = xr.DataArray(list(names.values()), dims="component", attrs={"units": "1", "long_name": "class"})
    probability = xr.DataArray(
        arrays[1],
        coords={"component": component},
        dims=(*dims, "component"),
        attrs={"units": "1", "long_name": "share of the votes", "calibration": "uncalibrated", **mean},
    )
    disagreement = {"units": "1", "long_name": "disagreement of the trees in nats", **mean}
    variables: dict[str, Any] = {
        "label": (dims, arrays[0], {"long_name": f"class by {image.name}", **flags}),
        "probability": probability,
        "disagreement": (dims, arrays[2], disagreement),
    }
    return like(ds, variables)
