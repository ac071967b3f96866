"""Register images with known truth: how often the transform is found, how often a verdict is wrong, what errors hold.

    python benchmarks/fusion/images.py [--starts 100] [--unrelated 200] [--cases 200] [--first 1000]

Measured pairs, the moving image turned by any angle (SEM and transmission SEM, HAADF and element maps, two channels of
a confocal microscope): the share found, that is with all corners within 3 % of the width, the share called sure, and
the same for SimpleITK (Mattes mutual information, three levels) from the same starts in the same run. Pairs of which no
truth is known: the verdict. Images that have nothing to do with one another: how many are called sure. Simulated pairs
of measured images with other contrast, texture of their own and noise: whether the 95 % regions of five points hold the
truth.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import SimpleITK
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates, zoom

import conspectus
import fusion
from fusion.images.orientation import rotation
from fusion.specimens import measured

Array = NDArray[Any]
PUBLISHED = np.array([-10.27, 6.14])
"""Shift (y, x) in pixels of the transmission image on the SEM image."""
FILES = {
    "SEM": ("correlative_sem_tsem/1908248_SEM.tif", None), "TSEM": ("correlative_sem_tsem/1908249_TSEM.tif", None),
    "HAADF": ("correlative_haadf_chem/Co3O4_Mn3O4.h5", "HAADF"), "Co": ("correlative_haadf_chem/Co3O4_Mn3O4.h5", "Co"),
    "Mn": ("correlative_haadf_chem/Co3O4_Mn3O4.h5", "Mn"), "O": ("correlative_haadf_chem/Co3O4_Mn3O4.h5", "O"),
    "red": ("confocal/colocsample1b-red.tif", None), "green": ("confocal/colocsample1b-green.tif", None),
    "EM": ("clem/deepclem/EM.png", None), "chromatin": ("clem/deepclem/Chromatin.png", None),
    "survey": ("correlative_cl_sem/odemis_spectrum_fitting.h5", "SEM survey"),
    "alloy": ("correlative_secm_sem/Al-AR.tif", None), "particles": ("sem_tem/zeiss_example_sem.tif", None),
    "tfs": ("sem_tem/tfs_example.tif", None), "cells": ("fluorescence/odemis_FOV1_green_fluorescence.tif", None),
}  # fmt: skip
SPECIMEN = {"SEM": 0, "TSEM": 0, "HAADF": 1, "Co": 1, "Mn": 1, "O": 1, "red": 2, "green": 2, "EM": 3, "chromatin": 3}
BASES = ("SEM", "HAADF", "green", "EM", "survey", "alloy", "particles")


@cache
def values(name: str) -> Array:
    """Return a measured image; stacks by their highest values, colours by their mean."""
    file, item = FILES[name]
    tree = conspectus.open(measured.locate(file))
    image = (tree[item] if item else next(iter(tree.children.values()))).to_dataset()["image"]
    image = image.max("z") if "z" in image.dims else image
    image = image[:-60] if name in ("SEM", "TSEM", "particles") else image  # the data bar is no part of the specimen
    return np.asarray((image.mean("channel") if "channel" in image.dims else image).values, dtype=float)


def labelled(array: Array, step: float = 1.0) -> xr.Dataset:
    """Return an image with pixels of `step` um, the middle at the origin."""
    axes = {dim: fusion.Axis("um", step, -(n - 1) / 2 * step) for dim, n in zip("yx", array.shape, strict=True)}
    return fusion.dataset({"image": (("y", "x"), array)}, axes, name="image", cell_methods="mean")


def turned(array: Array, degrees: float) -> Array:
    """Return the image turned about its middle, NaN where there is none."""
    back = np.linalg.inv(rotation(np.deg2rad(degrees)))
    middle = (np.array(array.shape) - 1) / 2.0
    return np.asarray(affine_transform(array, back, middle - back @ middle, order=1, cval=np.nan))


def corner_error(transform: fusion.Affine, truth: fusion.Affine, shape: tuple[int, ...]) -> float:
    """Return the largest distance between where two transforms bring the corners of an image of 1 um pixels."""
    half = np.array(shape) / 2.0
    corners = np.array([[0.0, a * half[0], b * half[1]] for a in (-1, 1) for b in (-1, 1)])
    return float(np.linalg.norm(transform(corners) - truth(corners), axis=1).max())


def by_simpleitk(moving: Array, fixed: Array) -> fusion.Affine:
    """Return what SimpleITK finds from the two images laid upon one another."""
    pictures = []
    for array in (fixed, moving):
        picture = SimpleITK.GetImageFromArray(np.nan_to_num(array, nan=float(np.nanmean(array))).astype(np.float32))
        picture.SetOrigin([-(n - 1) / 2.0 for n in array.shape[::-1]])
        pictures.append(picture)
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2.0, 1.0, 0.0])
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetInitialTransform(SimpleITK.Euler2DTransform(), inPlace=False)
    found = method.Execute(*pictures)
    origin, right, down = (np.array(found.TransformPoint(point)) for point in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    matrix = np.eye(4)
    matrix[1:3, 3] = origin[::-1]
    matrix[1:3, 2], matrix[1:3, 1] = (right - origin)[::-1], (down - origin)[::-1]
    return fusion.Affine(matrix).inverse()


def starts(fixed: str, moving: str, count: int, widest: float) -> None:
    """Print how often a turned image is brought back."""
    rows, peer = [], []
    for seed in range(count):
        rng = np.random.default_rng([count, seed])
        degrees = rng.uniform(-widest, widest)
        image, target = turned(values(moving), degrees), values(fixed)
        shift = PUBLISHED if moving == "TSEM" else np.zeros(2)
        truth = fusion.Affine.translation(y=shift[0], x=shift[1]) @ fusion.Affine.rotation(-degrees)
        begun = time.perf_counter()
        result = fusion.register_images(labelled(image), labelled(target), uncertain="keep")
        taken = time.perf_counter() - begun
        off = np.linalg.norm((result.transform([0.0, 0.0, 0.0]) - truth([0.0, 0.0, 0.0]))[1:])
        rows.append([corner_error(result.transform, truth, image.shape), off, result.verdict.sure, taken])
        begun = time.perf_counter()
        try:
            error = corner_error(by_simpleitk(image, target), truth, image.shape)
        except RuntimeError:
            error = np.inf
        peer.append([error, time.perf_counter() - begun])
    limit = 0.03 * values(moving).shape[1]
    error, off, sure, taken = np.array(rows, dtype=float).T
    wrong = int(((error >= limit) & (sure > 0)).sum())
    print(f"{fixed:6} {moving:6} {(error < limit).mean():6.2f} {sure.mean():6.2f} {wrong:6} {np.median(error):8.2f} px"
          f" {off.max():8.2f} px {np.median(taken):6.1f} s    SimpleITK {np.mean([e < limit for e, _ in peer]):5.2f}"
          f" {np.median([t for _, t in peer]):5.1f} s", flush=True)  # fmt: skip


def hard_pairs() -> None:
    """Print the verdicts on pairs of which no truth is known, and how far CL and stage lie apart."""
    tree = conspectus.open(measured.locate(FILES["survey"][0]))
    survey, concurrent, spectra = (tree[name].to_dataset() for name in ("SEM survey", "SEM CL", "Spectrum"))
    light = spectra["intensity"].astype(float).sum("wavelength", keep_attrs=True).assign_attrs(units="1")
    by_stage = fusion.between(concurrent, survey)
    for name, image in (("SE", concurrent), ("CL", light.rename("light"))):
        result = fusion.register_images(image, survey, model="translation", start=by_stage, uncertain="keep")
        apart = 1e3 * (result.transform([0.0, 0.0, 0.0]) - by_stage([0.0, 0.0, 0.0]))[1:]
        print(f"{name} on survey: {result.verdict}\n   (y, x) = ({apart[0]:.0f}, {apart[1]:.0f}) nm from the stage's")
    current = next(iter(conspectus.open(measured.locate("correlative_secm_sem/AlAr_data.txt")).children.values()))
    alloy = next(iter(conspectus.open(measured.locate(FILES["alloy"][0])).children.values()))
    result = fusion.register_images(current.to_dataset(), alloy.to_dataset(), turn=180.0, uncertain="keep")
    print(f"SECM on SEM: {result.verdict}")
    chromatin, section = (labelled(values(name), 0.025) for name in ("chromatin", "EM"))  # sizes assumed
    result = fusion.register_images(chromatin, section, model="similarity", stretch=1.2, uncertain="keep")
    print(f"chromatin on EM: {result.verdict}")


def unrelated(count: int) -> None:
    """Print how many pairs of two specimens are called sure."""
    sure, ratios = 0, []
    for seed in range(count):
        rng = np.random.default_rng([3, seed])
        while True:
            first, second = (str(name) for name in rng.choice(list(FILES), 2, replace=False))
            if SPECIMEN.get(first, first) != SPECIMEN.get(second, second):
                break
        pair = [_cut(values(name), rng) for name in (first, second)]
        result = fusion.register_images(pair[0], pair[1], uncertain="keep")
        ratios.append(result.verdict.score / max(result.verdict.mirrored, result.verdict.rival))
        if result.verdict.sure:
            sure += 1
            print(f"   sure and wrong: {first} on {second}, seed {seed}")
    high = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios)[-3:])
    print(
        f"{count} unrelated pairs: {sure} called sure; highest score over the next best or mirrored: {high}", flush=True
    )


def _cut(array: Array, rng: np.random.Generator) -> xr.Dataset:
    side = int(min(array.shape) * rng.uniform(0.5, 1.0))
    row, column = (int(rng.integers(0, n - side + 1)) for n in array.shape)
    return labelled(array[row : row + side, column : column + side], 100.0 / side * rng.uniform(0.7, 1.3))


def simulated(seed: int, texture: float, noise: float, size: int = 128) -> tuple[Array, Array, fusion.Affine]:
    """Return a fixed and a moving image of one thing, and the transform between them."""
    rng = np.random.default_rng([99, seed])
    base = _base(BASES[seed % len(BASES)])
    other, angle = _other_contrast(base, rng), rng.uniform(-np.pi, np.pi)
    shift = rng.uniform(-0.12, 0.12, 2) * size
    middle = np.array([rng.uniform(min(110.0, n / 2), max(n - 110.0, n / 2)) for n in base.shape])
    grid = np.stack(np.mgrid[:size, :size], axis=-1).reshape(-1, 2) - (size - 1) / 2.0
    matrix = np.eye(4)
    matrix[1:3, 1:3], matrix[1:3, 3] = rotation(angle), shift

    def read(image: Array, points: Array) -> Array:
        clean = map_coordinates(image, (points + middle).T, order=3, mode="mirror").reshape(size, size)
        own = gaussian_filter(rng.normal(size=clean.shape), rng.uniform(1.5, 4.0))
        return (clean - clean.mean()) / clean.std() + texture * own / own.std() + noise * rng.normal(size=clean.shape)

    return read(base, grid), read(other, grid @ rotation(angle).T + shift), fusion.Affine(matrix)


@cache
def _base(name: str) -> Array:
    """Return a measured image of 260 pixels along its shorter side, of unit variance."""
    image = values(name)
    factor = min(image.shape) / 260.0
    image = zoom(gaussian_filter(image, 0.5 * max(factor - 1.0, 0.0) + 0.3), 1.0 / factor, order=1)
    return np.asarray((image - image.mean()) / image.std())


def _other_contrast(image: Array, rng: np.random.Generator) -> Array:
    """Return the image inverted, folded (both dark and bright become bright), or compressed."""
    rank = np.argsort(np.argsort(image.ravel())).reshape(image.shape) / image.size
    kind: list[Callable[[], Array]] = [lambda: -(rank ** rng.uniform(0.6, 1.6)), lambda: np.sqrt(rank + 0.02),
                                       lambda: np.abs(rank - rng.uniform(0.3, 0.7))]  # fmt: skip
    return np.asarray(gaussian_filter(kind[int(rng.integers(3))](), 0.5))


def covered(texture: float, noise: float, seeds: range) -> None:
    """Print whether the regions of five points hold the truth, of the pairs that are called sure."""
    inside, ratio, errors, wrong = [], [], [], 0
    for result, truth in _results(texture, noise, seeds):
        if not result.verdict.sure:
            continue
        points = 32.0 * np.array([[0, 0], [-1, -1], [-1, 1], [1, -1], [1, 1]])
        lifted = np.pad(points, ((0, 0), (1, 0)))
        inside.append(result.holds(points, truth(lifted)).mean())
        error = np.sqrt((np.linalg.norm(result.transform(lifted) - truth(lifted), axis=1) ** 2).mean())
        errors.append(error)
        wrong += error > 4.0
        ratio.append(float(np.sqrt((result.tre(points).values ** 2).mean())) / error)
    if inside:
        spread = np.std(inside) / np.sqrt(len(inside))
        print(f"texture {texture:3} noise {noise:3}: {len(inside):3} of {len(seeds)} sure, {wrong} over 4 px off; "
              f"coverage {np.mean(inside):.3f} ± {spread:.3f}; error median {np.median(errors):.2f} px, rms "
              f"{np.sqrt(np.mean(np.square(errors))):.2f} px; predicted/observed median {np.median(ratio):.2f}",
              flush=True)  # fmt: skip


def _results(texture: float, noise: float, seeds: range) -> Iterator[tuple[fusion.ImageRegistration, fusion.Affine]]:
    for seed in seeds:
        fixed, moving, truth = simulated(seed, texture, noise)
        yield fusion.register_images(labelled(moving), labelled(fixed), uncertain="keep"), truth


def main() -> None:
    """Print all four tables."""
    parser = argparse.ArgumentParser(description="Register images with known truth.")
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--unrelated", type=int, default=200)
    parser.add_argument("--cases", type=int, default=200, help="simulated pairs at each noise level")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them, for fresh pairs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.starts:
        print("fixed  moving  found   sure  sure and wrong  corners    centre, most      time")
        for fixed, moving in (("SEM", "TSEM"), ("HAADF", "Co"), ("HAADF", "Mn"), ("green", "red")):
            starts(fixed, moving, max(options.starts // 4, 1), 180.0)
        hard_pairs()
    if options.unrelated:
        unrelated(options.unrelated)
    for texture, noise in ((0.5, 0.3), (0.5, 0.6), (0.5, 1.0)):
        if options.cases:
            covered(texture, noise, range(options.first, options.first + options.cases))


if __name__ == "__main__":
    main()
