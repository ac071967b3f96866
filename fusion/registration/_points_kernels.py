"""Search for the transform between two sets of points without order: bare arrays in, bare arrays out."""

from typing import Any

import numpy as np

from fusion._kernels import kernel

Array = Any


@kernel
def congruent(base: Array, fixed: Array, tolerance: float, scales: Array, out: Array) -> int:
    """Write rows of fixed points that lie to one another as the base does; return how many there are, room or not.

    The base (d, d) has two points in a plane, three in space. A row fits if its sides are those of the base times one
    scale within `scales`, each to `tolerance` in um of the fixed side.
    """
    # All ordered pairs whose distance fits, and in space the third points that fit both: three sides determine a
    # triangle up to its mirror image, which only more points tell from it.
    size, count = len(base), 0
    first = np.sqrt(((base[0] - base[1]) ** 2).sum())
    for p in range(len(fixed)):
        for q in range(len(fixed)):
            if p == q:
                continue
            side = np.sqrt(((fixed[p] - fixed[q]) ** 2).sum())
            if not scales[0] * first - tolerance < side < scales[1] * first + tolerance:
                continue
            if size == 2:
                if count < len(out):
                    out[count, 0], out[count, 1] = p, q
                count += 1
                continue
            scale = min(max(side / first, scales[0]), scales[1])
            one, other = np.sqrt(((base[0] - base[2]) ** 2).sum()), np.sqrt(((base[1] - base[2]) ** 2).sum())
            for r in range(len(fixed)):
                if r in (p, q):
                    continue
                if abs(np.sqrt(((fixed[p] - fixed[r]) ** 2).sum()) - scale * one) > tolerance:
                    continue
                if abs(np.sqrt(((fixed[q] - fixed[r]) ** 2).sum()) - scale * other) > tolerance:
                    continue
                if count < len(out):
                    out[count, 0], out[count, 1], out[count, 2] = p, q, r
                count += 1
    return count


@kernel
def scores(matrices: Array, moving: Array, fixed: Array, reach: float, out: Array) -> None:
    """Write for each transform (d, d + 1) how many moving points have a fixed one within reach.

    The fixed points ascend along their first axis. Counting stops where half of the best so far cannot be reached.
    """
    best, dim = 0, moving.shape[1]
    at = np.empty(dim)
    for k in range(len(matrices)):
        count = 0
        for i in range(len(moving)):
            # what is kept is the better half: a transform that cannot come near the best is given up early
            if count + len(moving) - i < best // 2:
                break
            for a in range(dim):
                at[a] = matrices[k, a, dim]
                for b in range(dim):
                    at[a] += matrices[k, a, b] * moving[i, b]
            # only points within reach along the first axis can be near: a search by bisection, then a short walk
            j = np.searchsorted(fixed[:, 0], at[0] - reach)
            while j < len(fixed) and fixed[j, 0] <= at[0] + reach:
                square = 0.0
                for a in range(dim):
                    square += (fixed[j, a] - at[a]) ** 2
                if square < reach**2:
                    count += 1
                    break
                j += 1
        out[k] = count
        best = max(best, count)
