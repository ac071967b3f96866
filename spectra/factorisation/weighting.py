"""What the pixels and the channels of a map are divided by, so that its noise is alike everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from fusion.errors import DataError
from spectra.factorisation.sparse import Array

Weighting: TypeAlias = Literal["poisson"]
"""The weightings by name; None is none."""


class Weights(NamedTuple):
    """A weighting: from the sums of pixels and of channels to what these are divided by.

    Parameters
    ----------
    name : str
        As the attribute ``weighting`` of a result says it.
    by_pixel, by_channel : callable
        From sums, all positive, to divisors of the same shape; element by element, since a map that is larger than
        memory is divided block by block.
    counts : bool
        Whether the values are taken for Poisson counts: none is negative, and errors follow from them.
    """

    name: str
    by_pixel: Callable[[Array], Array]
    by_channel: Callable[[Array], Array]
    counts: bool


# The variance of a count is its mean. If that were the product of a pixel's and a channel's share of all counts,
# division by the roots of both would give unit variance throughout: the best scaling by rows and columns that there
# is (Keenan and Kotula, Surf. Interface Anal. 36, 203 (2004), eqs. 12-14). Dividing by the root of each single count
# instead would favour the values that noise made small.
WEIGHTINGS: Final[Mapping[str | None, Weights]] = {
    "poisson": Weights("poisson", np.sqrt, np.sqrt, counts=True),
    None: Weights("none", np.ones_like, np.ones_like, counts=False),
}


def weights_of(weighting: str | None) -> Weights:
    """Return the weights of a name.

    Raises
    ------
    DataError
        If there is no such weighting.

    Examples
    --------
    >>> weights_of("poisson").by_pixel(np.array([4.0, 9.0]))
    array([2., 3.])
    """
    if weighting not in WEIGHTINGS:
        *names, last = map(repr, WEIGHTINGS)
        raise DataError(f"unknown weighting {weighting!r}; accepted are {', '.join(names)} and {last}")
    return WEIGHTINGS[weighting]
