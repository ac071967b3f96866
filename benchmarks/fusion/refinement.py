"""Refine two images from one start, off by 1.5 pixels: time and error of ours and of SimpleITK, in turns.

    python benchmarks/fusion/refinement.py [--cases 20] [--small]

Pairs of 128² pixels as `images.py` simulates them (other contrast, texture of their own, noise of 0.3), rigid, two
levels (2 and 1 pixels), one thread: the time of CPU that the local part takes, without search and error, and the
largest error at a corner.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import images
import numpy as np
import SimpleITK

import fusion
from fusion.images.candidates import Candidates
from fusion.images.pictures import Array, Picture, read
from fusion.images.register import _finest
from fusion.images.search import Peak

OFF = 1.5
"""Pixels along each axis."""
AXES = np.array([[0.0, 1.0], [1.0, 0.0]])
"""Between (y, x) and (x, y)."""


def ours(moving: Picture, fixed: Picture, start: Array) -> Array:
    """Return the matrix (3, 3) on (y, x, 1) that `fusion.register_images` goes on to from a pose of its search."""
    return _finest(moving, fixed, Candidates(Peak(1.0, start), 0.0, 0.0, 2.0), "rigid").motion.start


def theirs(moving: Picture, fixed: Picture, start: Array) -> Array:
    """Return what SimpleITK finds by Mattes mutual information and regular steps."""
    pictures = []
    for picture in (fixed, moving):
        image = SimpleITK.GetImageFromArray(picture.values)
        image.SetOrigin(picture.origin[::-1].tolist())
        pictures.append(image)
    transform, back = SimpleITK.Euler2DTransform(), np.linalg.inv(start)
    transform.SetMatrix((AXES @ back[:2, :2] @ AXES).ravel().tolist(), 1e-6)
    transform.SetTranslation((AXES @ back[:2, 2]).tolist())
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1.0, 0.0])
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetInitialTransform(transform, inPlace=False)
    found = method.Execute(*pictures)
    origin, right, down = (np.array(found.TransformPoint(point)) for point in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    matrix = np.eye(3)
    matrix[:2] = np.stack([down - origin, right - origin, origin], axis=1)[::-1]
    return np.linalg.inv(matrix)


def measured(seed: int) -> list[tuple[float, float]]:
    """Return seconds and error of both on one pair."""
    fixed, moving, truth = images.simulated(seed, 0.5, 0.3)
    pictures = [read(images.labelled(array), None, None, "image") for array in (moving, fixed)]
    start = truth.matrix[1:, 1:].copy()
    start[:2, 2] += OFF
    return [_timed(way, *pictures, start, truth) for way in (ours, theirs)]


def _timed(
    way: Callable[[Picture, Picture, Array], Array], moving: Picture, fixed: Picture, start: Array, truth: fusion.Affine
) -> tuple[float, float]:
    begun = time.process_time()
    found = way(moving, fixed, start)
    taken = time.process_time() - begun
    matrix = np.eye(4)
    matrix[1:, 1:] = found
    return taken, images.corner_error(fusion.Affine(matrix), truth, moving.values.shape)


def main() -> None:
    """Print medians over all pairs, the first one apart, which compiles."""
    parser = argparse.ArgumentParser(description="Refine two images from one start.")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="two pairs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    measured(0)
    rows = np.array([measured(seed) for seed in range(1, 3 if options.small else options.cases + 1)])
    for name, column in (("ours", 0), ("SimpleITK", 1)):
        seconds, error = rows[:, column].T
        within = (error < 1.0).mean()
        print(f"{name:10} {1e3 * np.median(seconds):6.1f} ms  error at the corners, median {np.median(error):.2f} px,"
              f" within a pixel {within:.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
