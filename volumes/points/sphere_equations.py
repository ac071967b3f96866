"""The normal equations of a joint fit of spheres: what moves them, and the errors that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from volumes.points.sphere_scene import Freedom, Scene, State

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
_TOLERANCE: Final = 1e-4
_SHARED: Final = 2.0
"""Standard deviations of the blur beyond its surface up to which a sphere shares light with others."""
_LARGEST_STEP: Final = 0.25
"""Share of its radius by which a sphere may move in a round."""


@dataclass(frozen=True)
class Equations:
    """J'W J as a sparse matrix over the free numbers of all spheres, the nodes and then the slices, and J'W r.

    Parameters
    ----------
    matrix : csr_array
    gradient : array
    free : array of int
        The columns of a sphere that are fitted.
    count : int
        Of spheres.
    """

    matrix: Any
    gradient: Array
    free: npt.NDArray[np.int64]
    count: int

    def moved(self, state: State, damping: float) -> State:
        """Return the state after one step."""
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import cg

        # Marquardt's damping, in units of each number's own curvature; a step longer than a quarter of a radius would
        # leave the range in which the profile is nearly linear
        diagonal = self.matrix.diagonal()
        diagonal = np.where(diagonal > 0, diagonal, 1.0)
        damped = self.matrix + diags_array(damping * diagonal + 1e-9 * diagonal.max())
        step, _ = cg(damped, self.gradient, rtol=_TOLERANCE, maxiter=300, M=diags_array(1.0 / damped.diagonal()))
        width = self.free.size
        spheres = state.spheres.copy()
        change = step[: self.count * width].reshape(self.count, width)
        most = _LARGEST_STEP * spheres[:, 4:5]
        far = np.linalg.norm(change[:, :3], axis=1, keepdims=True)
        change[:, :3] *= np.minimum(1.0, most / np.maximum(far, np.finfo(float).tiny))
        if width == 5:
            change[:, 4:] = np.clip(change[:, 4:], -most / 2.0, most / 2.0)
        spheres[:, self.free] += change
        nodes, slices = np.split(step[self.count * width :], [state.nodes.size])
        return State(spheres, state.nodes + nodes.reshape(state.nodes.shape), state.slices + slices)

    # The inverse of the whole matrix, where it is wanted: with H of the spheres, C of spheres and background and B of
    # the background, a sphere's covariance is its block of H⁻¹, for which its neighbours suffice to a per cent, and
    # (H⁻¹ C) (B - C'H⁻¹ C)⁻¹ (H⁻¹ C)': the level of a slice is as uncertain as all spheres in it make it together.
    def covariances(self) -> Array:
        """Return the covariance (sphere, number, number) of the free numbers of each sphere."""
        from scipy.sparse import eye_array

        width, size = self.free.size, self.count * self.free.size
        unseen = 1e-12 * max(self.matrix.diagonal().max(), 1e-300)
        spheres = (self.matrix[:size, :size] + unseen * eye_array(size)).tocsr()
        mixed = self.matrix[:size, size:].toarray()
        response = _solved(spheres, mixed)
        rest = self.matrix[size:, size:].toarray() - mixed.T @ response
        background = np.linalg.pinv((rest + rest.T) / 2.0, rcond=1e-9, hermitian=True)
        shared = response.reshape(self.count, width, mixed.shape[1])
        return np.asarray(_own_blocks(spheres, width) + shared @ background @ shared.transpose(0, 2, 1))


def _own_blocks(matrix: Any, width: int) -> Array:
    """Return the diagonal blocks (sphere, number, number) of the inverse, from each sphere and its neighbours."""
    count = matrix.shape[0] // width
    result = np.empty((count, width, width))
    for n in range(count):
        near = matrix.indices[matrix.indptr[n * width] : matrix.indptr[n * width + 1]]
        own = np.arange(n * width, (n + 1) * width)
        near = np.concatenate([own, near[(near < own[0]) | (near > own[-1])]])
        block = matrix[near][:, near].toarray()
        result[n] = np.linalg.solve(block + 1e-9 * np.diag(block.diagonal()), np.eye(near.size, width))[:width]
    return result


# Conjugate gradients for many right-hand sides side by side: as many sparse products as for one, and no fill-in, which
# a factorisation of overlaps in three dimensions has.
def _solved(matrix: Any, right: Array, rounds: int = 60) -> Array:
    """Return the solutions (row, column) of a positive definite system for each column."""
    scale = 1.0 / np.maximum(matrix.diagonal(), np.finfo(float).tiny)[:, None]
    solution, residual = np.zeros_like(right), right.copy()
    direction = scale * residual
    product = (residual * direction).sum(axis=0)
    enough = 1e-12 * product
    for _ in range(rounds):
        image = matrix @ direction
        going = product > enough
        length = np.where(going, product, 0.0) / np.where(going, (direction * image).sum(axis=0), 1.0)
        solution += length * direction
        residual -= length * image
        after = (residual * scale * residual).sum(axis=0)
        direction = scale * residual + after / np.where(going, product, np.inf) * direction
        product = after
    return solution


def equations(scene: Scene, state: State, residual: Array, freedom: Freedom) -> Equations:
    """Return the normal equations at a state."""
    from volumes.points._sphere_kernels import NODES, normal_equations

    spheres = state.spheres
    count = len(spheres)
    starts, others = overlapping(spheres, scene.table.blur)
    gradient, own = np.zeros((count, 5)), np.zeros((count, 5, 5))
    pairs, mixed = np.zeros((others.size, 5, 5)), np.zeros((count, 5, NODES**3))
    depth = min(int(2.0 * scene.table.reach[0] / scene.step[0]) + 2, scene.image.shape[0])
    slices, first = np.zeros((count, 5, depth)), np.zeros((count, 4), np.int64)
    normal_equations(
        spheres, tuple(scene.table), scene.step, residual, scene.weight, starts, others, scene.nodes.astype(float),
        gradient, own, pairs, mixed, slices, first,
    )  # fmt: skip
    free = np.arange(5 if freedom.radii else 4)
    if freedom.radii:
        own[:, 4, 4] += 1.0 / freedom.scatter**2
        gradient[:, 4] -= (spheres[:, 4] - freedom.radius) / freedom.scatter**2
    edge = _with_background(mixed[:, free], slices[:, free], first, scene)
    matrix = _assembled(own[:, free][:, :, free], pairs[:, free][:, :, free], starts, others, edge, scene)
    return Equations(matrix, np.concatenate([gradient[:, free].ravel(), _gradient(scene, residual)]), free, count)


def overlapping(spheres: Array, blur: Array) -> tuple[Numbers, Numbers]:
    """Return the pairs of spheres that share light, each once: where those of each begin, and the second.

    They are those whose surfaces, each two standard deviations of the blur further out, meet. With one deviation the
    matrix of a long blur has negative eigenvalues: steps go astray, and errors are roots of negative numbers.
    """
    from scipy.spatial import cKDTree

    if not len(spheres):
        return np.zeros(1, np.int64), np.zeros(0, np.int64)
    reach = np.median(spheres[:, 4]) + _SHARED * blur
    pairs = cKDTree(spheres[:, :3] / reach).query_pairs(2.0, output_type="ndarray")
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    starts = np.searchsorted(pairs[:, 0], np.arange(len(spheres) + 1))
    return starts.astype(np.int64), np.ascontiguousarray(pairs[:, 1]).astype(np.int64)


def _assembled(own: Array, pairs: Array, starts: Numbers, others: Numbers, edge: Any, scene: Scene) -> Any:
    """Return the blocks as one symmetric sparse matrix."""
    from scipy.sparse import block_array

    count, width = own.shape[:2]
    inner, first = np.arange(width), np.repeat(np.arange(count), np.diff(starts))
    rows = np.arange(count)[:, None, None] * width
    matrix = _sparse(own, rows + inner[:, None], rows + inner, (count * width, count * width))
    left, right = (each[:, None, None] * width for each in (first, others))
    off = _sparse(pairs, left + inner[:, None], right + inner, matrix.shape)
    return block_array([[matrix + off + off.T, edge], [edge.T, _of_background(scene)]], format="csr")


def _with_background(mixed: Array, slices: Array, first: Numbers, scene: Scene) -> Any:
    """Return the blocks of spheres with the nodes and the slices of the background."""
    from scipy.sparse import hstack

    count, width = mixed.shape[:2]
    rows = (np.arange(count)[:, None] * width + np.arange(width))[:, :, None]
    at = np.stack(np.unravel_index(np.arange(mixed.shape[2]), (3, 3, 3)), axis=-1) + first[:, None, :3]
    limits = np.array(scene.lattice)
    outside = np.any(at >= limits, axis=-1)[:, None, :]
    number = np.ravel_multi_index(tuple(np.moveaxis(np.minimum(at, limits - 1), -1, 0)), scene.lattice)
    nodes = np.where(outside, 0.0, mixed)
    z = np.minimum(first[:, 3:] + np.arange(slices.shape[2]), scene.image.shape[0] - 1)
    blocks = [
        _sparse(nodes, rows, number[:, None, :], (count * width, int(limits.prod()))),
        _sparse(slices, rows, z[:, None, :], (count * width, scene.image.shape[0])),
    ]
    joined = hstack(blocks, format="csr")
    joined.eliminate_zeros()
    return joined


def _sparse(values: Array, rows: Numbers, columns: Numbers, shape: tuple[int, int]) -> Any:
    from scipy.sparse import coo_array

    at = tuple(np.broadcast_to(each, values.shape).ravel() for each in (rows, columns))
    return coo_array((values.ravel(), at), shape=shape).tocsr()


# With uneven weights B'W B has no product form; the mean weight stands for them in the curvature, while the gradient
# has the weights themselves, so that the solution is theirs. Nodes and slices share the mean of each slice, which a
# small share of the diagonal settles.
def _of_background(scene: Scene) -> Any:
    from scipy.sparse import block_array, csr_array, diags_array, kron

    z, y, x = scene.hats()
    nodes = kron(kron(csr_array(z.T @ z), csr_array(y.T @ y)), csr_array(x.T @ x))
    both = kron(kron(csr_array(z.T), csr_array(y.sum(axis=0)[:, None])), csr_array(x.sum(axis=0)[:, None]))
    slices = diags_array(np.full(len(z), float(len(y) * len(x))))
    matrix = block_array([[nodes, both], [both.T, slices]], format="csr") * float(scene.weight.mean())
    return matrix + diags_array(1e-4 * matrix.diagonal())


def _gradient(scene: Scene, residual: Array) -> Array:
    """Return J'W r of the nodes and the slices."""
    weighted = scene.weight * residual
    total = weighted
    for axis, hats in enumerate(scene.hats()):
        total = np.moveaxis(np.tensordot(hats, total, axes=(0, axis)), 0, axis)
    return np.concatenate([total.ravel(), weighted.sum(axis=(1, 2))])
