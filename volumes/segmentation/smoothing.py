"""Over what window the probabilities of a segmentation are averaged, chosen on what a person has annotated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from volumes.segmentation.annotation import Marks
from volumes.segmentation.forest import Forest, grow

Array = npt.NDArray[Any]
_FOLDS: Final = 4
_FEWEST: Final = 8
"""Strokes of each class below which they say too little, and nothing is averaged."""
_VOXELS: Final = 150
"""Annotated voxels of each class that are judged."""
_DRAWS: Final = 32
"""Neighbours that stand for the window around a voxel."""
_TREES: Final = 50


# Strokes are left out in turn, and the trees of the others judge them through windows of each width; Brier's score,
# Σ (p - y)² over the classes, says how well. Whole strokes, since a voxel's neighbour in its own stroke knows it
# already. The mean over a window is taken at random places in it, so that the image need not be segmented to find out.
# What a person paints is larger than a voxel: the largest window is taken that is not worse than the best by more than
# two standard errors of the difference, stroke by stroke, as the simplest model is that fits no worse (L. Breiman et
# al., Classification and Regression Trees (1984), sec. 3.4.3). Strokes keep away from borders and cannot ask for more.
def best_width(
    rows_at: Callable[[Array], Array], marks: Marks, shape: Sequence[int], steps: Sequence[float],
    widths: Sequence[float], seed: int,
) -> float:  # fmt: skip
    """Return the standard deviation of the window, in um, that tells strokes left out best; 0 for none.

    Parameters
    ----------
    rows_at : callable
        Returns the features (n, feature) at indices (n, dims) of the image; NaN where it has no value.
    marks : Marks
        The annotated voxels.
    shape, steps : sequence
        Of the image: its voxels and their sizes in um; infinite along an axis of one voxel.
    widths : sequence of float
        To choose from, ascending, beside 0.
    seed : int
        Of the trees, the folds and the places.
    """
    strokes = connected(marks.indices)
    rng = np.random.default_rng(seed)
    folds = _folds(strokes, marks.labels, rng)
    if folds is None:
        return 0.0
    judged = np.concatenate([_some(np.flatnonzero(marks.labels == label), rng) for label in np.unique(marks.labels)])
    places, inside = _windows(marks.indices[judged], shape, steps, widths, rng)
    rows = rows_at(np.concatenate([marks.indices, places[inside]]))
    own, around = rows[: len(marks.labels)], np.full((*inside.shape, rows.shape[1]), np.nan, np.float32)
    around[inside] = rows[len(own) :]
    classes = np.unique(marks.labels)
    score = np.empty((len(judged), len(widths) + 1))
    for fold in range(_FOLDS):
        kept, held = (folds != fold) & np.isfinite(own[:, 0]), folds[judged] == fold
        forest = grow(own[kept], marks.labels[kept], _TREES, seed)
        windows = [own[judged[held], None], *np.moveaxis(around[held], 1, 0)]
        truth = marks.labels[judged[held], None] == classes
        score[held] = np.stack([((_mean_vote(forest, rows) - truth) ** 2).sum(axis=1) for rows in windows], axis=1)
    return (0.0, *widths)[_largest_good(score, strokes[judged], marks.labels[judged])]


def _mean_vote(forest: Forest, rows: Array) -> Array:
    """Return the mean share of each class (n, class) over the rows (n, draw, feature) that have a value."""
    votes = forest.vote(rows.reshape(-1, rows.shape[-1]))[:, :-1].reshape(*rows.shape[:2], -1)
    seen = np.isfinite(rows[..., :1])
    return np.asarray(np.where(seen, votes, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def connected(indices: Array) -> Array:
    """Return the number of the stroke that each voxel (n, dims) belongs to: voxels that touch, at corners too.

    Examples
    --------
    >>> connected(np.array([[0, 0], [1, 1], [5, 5]])).tolist()
    [0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(indices).query_pairs(1.5, p=np.inf, output_type="ndarray")
    size = len(indices)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1])


def _folds(strokes: Array, labels: Array, rng: np.random.Generator) -> Array | None:
    """Return the fold of each voxel, strokes of a class shared out evenly; None where a class has too few strokes."""
    folds = np.zeros(len(labels), dtype=np.intp)
    for label in np.unique(labels):
        names = rng.permutation(np.unique(strokes[labels == label]))
        if len(names) < _FEWEST:
            return None
        for n, name in enumerate(names):
            folds[(strokes == name) & (labels == label)] = n % _FOLDS
    return folds


def _some(members: Array, rng: np.random.Generator) -> Array:
    return rng.choice(members, min(len(members), _VOXELS), replace=False)


def _windows(
    centres: Array, shape: Sequence[int], steps: Sequence[float], widths: Sequence[float], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return voxels (centre, width, draw, dims) in Gaussian windows, and which of them lie in the image."""
    offsets = rng.normal(size=(len(centres), 1, _DRAWS, len(shape)))
    voxels = np.asarray(widths)[:, None] / np.asarray(steps)
    places = np.rint(centres[:, None, None] + offsets * voxels[:, None]).astype(np.int64)
    return places, ((places >= 0) & (places < np.asarray(shape))).all(axis=-1)


def _largest_good(score: Array, strokes: Array, labels: Array) -> int:
    """Return the last column whose score is not clearly worse than the best; strokes and classes weigh alike."""
    of_class = []
    for label in np.unique(labels):
        mine = [(strokes == stroke) & (labels == label) for stroke in np.unique(strokes[labels == label])]
        of_class.append(np.stack([score[each].mean(axis=0) for each in mine]))
    best = int(np.mean([each.mean(axis=0) for each in of_class], axis=0).argmin())
    worse = [each - each[:, best, None] for each in of_class]
    excess = np.mean([each.mean(axis=0) for each in worse], axis=0)
    error = np.sqrt(np.sum([each.var(axis=0, ddof=1) / len(each) for each in worse], axis=0)) / len(worse)
    return int(np.flatnonzero(excess <= 2.0 * error)[-1])
