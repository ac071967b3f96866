"""How well a smooth warp is found from two images, and whether its intervals hold; SimpleITK's B-spline beside it.

Each case is a texture, and the same texture bent by a smooth random field, in other contrast and with noise.
Run ``python benchmarks/fusion/ties.py``; ``--cases 1 --peer 0 --noise 0.3`` for a quick look.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

import fusion

SIZE = (256, 288)
STEP = 0.5


def texture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return blobs of several sizes with edges."""
    layers = [np.tanh(3.0 * field / field.std())
              for field in (gaussian_filter(rng.normal(size=shape), sigma) for sigma in (2.0, 5.0, 12.0))]  # fmt: skip
    return sum(layers)


def bending(rng: np.random.Generator, amplitude: float, length: float) -> np.ndarray:
    """Return shifts (2, y, x) in pixels, of a root mean square of `amplitude`, smooth over `length` of the image."""
    fields = np.stack([gaussian_filter(rng.normal(size=SIZE), SIZE[0] * length, mode="reflect") for _ in range(2)])
    fields -= fields.mean(axis=(1, 2), keepdims=True)
    return amplitude * fields / fields.std()


def pair(
    rng: np.random.Generator, amplitude: float, noise: float, length: float = 1.0 / 6.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both images, and where each pixel of the fixed one lies in the moving one, (2, y, x) in um."""
    margin = 24
    wide = texture(rng, tuple(n + 2 * margin for n in SIZE))
    # the moving image shows at pixel p what the fixed one shows at p - shift(p)
    shift = bending(rng, amplitude, length)
    at = np.indices(SIZE) + margin
    fixed = wide[margin:-margin, margin:-margin]
    source = map_coordinates(wide, at - shift, order=3)
    moving = -np.sign(source) * np.abs(source) ** 0.7
    images = [image + noise * image.std() * rng.normal(size=SIZE) for image in (fixed, moving)]
    back = np.indices(SIZE).astype(float)
    for _ in range(30):  # q = p + shift(q), by repetition
        back = np.indices(SIZE) + np.stack([map_coordinates(one, back, order=1, mode="nearest") for one in shift])
    return images[0], images[1], STEP * back


def labelled(values: np.ndarray, name: str):
    axes = {dim: fusion.Axis("um", STEP) for dim in "yx"}
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name=name, cell_methods="mean")


def simple_itk(fixed: np.ndarray, moving: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return where points (n, 2) of the fixed image lie in the moving one by a B-spline of 8 × 8 cells."""
    import SimpleITK

    images = [SimpleITK.GetImageFromArray(values.astype(np.float32)) for values in (fixed, moving)]
    for image in images:
        image.SetSpacing((STEP, STEP))
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsLBFGSB(numberOfIterations=100)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetInitialTransform(SimpleITK.BSplineTransformInitializer(images[0], [8, 8]), inPlace=True)
    found = method.Execute(*images)
    return np.array([found.TransformPoint((x, y))[::-1] for y, x in points])


def ours(fixed: np.ndarray, moving: np.ndarray):
    """Return the affine transform and the warp of moving to fixed."""
    images = labelled(moving, "moving"), labelled(fixed, "fixed")
    start = fusion.register_images(*images, model="affine", turn=10.0, stretch=1.05, start=fusion.Affine.identity())
    coarse = bent(fusion.tie_points(*images, start.transform))
    fine = bent(fusion.tie_points(*images, coarse.transform, spacing=STEP * SIZE[0] / 14.0))
    return start.transform, fine


def bent(ties):
    """Return the registration by tie points."""
    pairs = (ties[side].values for side in ("moving", "fixed"))
    return fusion.register_landmarks(
        *pairs, model="warp", sigma=ties["sigma"].values, absolute_sigma=False, outliers="drop"
    )


def in_pixels(off: np.ndarray) -> float:
    """Return the root mean square of distances (n, 2) in um."""
    return float(np.sqrt((off**2).sum(axis=1).mean()) / STEP)


def main() -> None:
    from scipy.special import chdtri

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--amplitude", type=float, default=3.0, help="root mean square of the bending, in pixels")
    parser.add_argument("--length", type=float, default=1.0 / 6.0, help="over which it is smooth, of the image")
    parser.add_argument("--peer", type=int, default=2, help="cases that SimpleITK does too")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.1, 0.3, 1.0], help="over the contrast")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("root mean square error in pixels, inside the hull of the tie points; coverage of 95 % regions")
    for noise in options.noise:
        errors, peers, covered, seconds = [], [], [], np.zeros(2)
        for case in range(options.cases):
            rng = np.random.default_rng([options.seed, case])
            fixed, moving, back = pair(rng, options.amplitude, noise, options.length)
            points = STEP * np.stack([rng.uniform(30, n - 30, 400) for n in SIZE], axis=1)
            truth = np.stack([map_coordinates(one, points.T / STEP, order=1) for one in back], axis=1)
            clock = time.process_time()
            affine, warp = ours(fixed, moving)
            seconds[0] += time.process_time() - clock
            space = np.pad(truth, ((0, 0), (1, 0)))
            covariance = warp.transform.covariance_at(space)[:, 1:, 1:]
            inside = np.isfinite(covariance).all(axis=(1, 2))
            off = [transform(space)[:, 1:] - points for transform in (affine, warp.transform)]
            errors.append([in_pixels(each[inside]) for each in off])
            if case < options.peer:
                clock = time.process_time()
                peers.append(in_pixels((simple_itk(fixed, moving, points) - truth)[inside]))
                seconds[1] += time.process_time() - clock
            square = np.einsum("ni,nij,nj->n", off[1][inside], np.linalg.inv(covariance[inside]), off[1][inside])
            covered.append((square < chdtri(2, 0.05)).mean())
        affine, warp = np.median(errors, axis=0)
        mean, error = 100 * np.mean(covered), 100 * np.std(covered) / np.sqrt(len(covered))
        print(
            f"noise {noise:.1f}: affine {affine:.2f}, warp {warp:.3f}; coverage {mean:.1f} ± {error:.1f} %; "
            f"CPU {seconds[0] / options.cases:.1f} s a pair", flush=True,
        )  # fmt: skip
        if peers:
            same = np.median(errors[: len(peers)], axis=0)[1]
            print(
                f"           SimpleITK's B-spline {np.median(peers):.3f} where the warp has {same:.3f}; "
                f"CPU {seconds[1] / len(peers):.1f} s a pair", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
