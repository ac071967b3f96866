"""Landmarks whose order is not known: which of one set is which of the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fusion.registration.pairs import Landmarks, positions
from fusion.registration.points import matched


def match_landmarks(moving: Landmarks, fixed: Landmarks, *, sigma: float) -> npt.NDArray[np.intp]:
    """Find which moving landmark is which fixed one, for two sets that a rotation and a shift bring together.

    Parameters
    ----------
    moving, fixed : array_like (n, 3) or (n, 2), or Dataset
        As in `fusion.register_landmarks`, in any order; some of either may have no partner.
    sigma : float
        Standard deviation in um of a pair along one axis.

    Returns
    -------
    ndarray (k, 2)
        For each pair the row of `moving` and that of `fixed`.

    Raises
    ------
    RegistrationError
        If so many would find a partner by chance, or two ways to pair them do equally well.

    Examples
    --------
    >>> points = np.array([[0.0, 0.0], [9.0, 1.0], [3.0, 7.0], [5.0, -4.0]])
    >>> match_landmarks(points, points[[2, 0, 3, 1]] + 5.0, sigma=0.1).tolist()
    [[0, 1], [1, 3], [2, 0], [3, 2]]
    """
    return matched(positions(moving, "moving"), positions(fixed, "fixed"), sigma, "rigid").pairs
