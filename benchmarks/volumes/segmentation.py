"""Segmentation against scikit-image's trainable segmenter on the same scribbles, and how often its fractions hold.

Serial sections of neural tissue with every mitochondrion drawn by hand, and a scanning electron image of TiO2 with a
mask drawn by hand. A scribble is a line of at most 30 pixels that begins at a random place and stays 3 pixels away from
the border of its class, as people paint. Intersection over union (IoU) is over all pixels of the sections named.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from skimage.filters import threshold_otsu
from skimage.future import TrainableSegmenter

import fusion
import volumes
from fusion.specimens.measured import locate

CLASSES = {"flag_values": [1, 2], "flag_meanings": "background mitochondrion"}
VOXEL = {"z": "45 nm", "y": "4.6 nm", "x": "4.6 nm"}
SMOOTH = "45 nm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="fractions alone, on two sections of a small field")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--only", choices=["sections", "tio2", "fractions", "active", "coarse"])
    options = parser.parse_args()
    corner = (slice(500, 660), slice(300, 460)) if options.small else (slice(None), slice(None))
    raw, truth = sections(*corner)
    seeds = range(1 if options.small else options.seeds)
    everything = {"fractions"} if options.small else {"sections", "tio2", "fractions", "active", "coarse"}
    run = {options.only} if options.only else everything
    if "sections" in run:
        report_sections(raw, truth, seeds)
    if "tio2" in run:
        report_tio2(seeds)
    if run & {"fractions", "coarse"}:
        trained = volumes.train_classifier(raw, painted(truth, [2], 40, 0))
        here = slice(2, 4) if options.small else slice(13, 18)
        result = volumes.segment(raw.isel(z=here), model=trained, smooth=SMOOTH)
        name = f"sections {here.start} to {here.stop - 1}"
        if "fractions" in run:
            report_fractions(result, truth.isel(z=here), name, 20 if options.small else options.repeats)
        if "coarse" in run:
            report_coarse(result, truth.isel(z=here), 100)
    if "active" in run:
        report_active(raw, truth, seeds)


def sections(y: slice, x: slice) -> tuple[xr.Dataset, xr.DataArray]:
    """Return the sections and where the mitochondria are."""
    folder = locate("sstem_volume/vnc_stack1_raw/00.tif").parent
    raw = volumes.open(folder, voxel=VOXEL).isel(y=y, x=x).compute()
    drawn = volumes.open(folder.with_name("vnc_stack1_mitochondria"), voxel=VOXEL, labels={"no": 0, "yes": 255})
    (name,) = drawn.data_vars
    return raw, (drawn[name].isel(y=y, x=x) == 255).compute()


def painted(truth: xr.DataArray, planes: list[int], number: int, seed: int) -> xr.Dataset:
    """Return `number` scribbles of each class on each of some sections, as labels."""
    marks = truth.isel(z=planes)
    rng = np.random.default_rng(seed)
    drawn = np.stack([scribbles(plane, number, rng) for plane in marks.values])
    return labelled(marks, drawn)


def labelled(like: xr.DataArray, values: Any) -> xr.Dataset:
    axes = {dim: fusion.Axis("um", values=like[dim].values) for dim in like.dims}
    return fusion.dataset({"label": (like.dims, values, CLASSES)}, axes, name="scribbles")


def scribbles(member: Any, number: int, rng: np.random.Generator) -> Any:
    """Return an image with 1 and 2 where somebody painted, and 0 elsewhere."""
    out = np.zeros(member.shape, np.int32)
    for label, mask in ((1, ~member), (2, member)):
        inside = ndimage.binary_erosion(mask, iterations=3)
        starts = np.argwhere(inside)
        for start in starts[rng.integers(len(starts), size=number)]:
            at, angle = start.astype(float), rng.uniform(0.0, 2.0 * np.pi)
            for _ in range(30):
                index = tuple(np.rint(at).astype(int))
                if not all(0 <= i < size for i, size in zip(index, member.shape, strict=True)) or not inside[index]:
                    break
                out[index] = label
                angle += rng.normal(0.0, 0.15)
                at += np.sin(angle), np.cos(angle)
    return out


def iou(found: Any, truth: Any) -> float:
    found, truth = np.asarray(found), np.asarray(truth)
    return float((found & truth).sum() / (found | truth).sum())


def report_sections(raw: xr.Dataset, truth: xr.DataArray, seeds: range) -> None:
    print(
        "\n| mitochondria, 40 scribbles a class on | seed | CPU s | IoU 14 | IoU 17 | mean |\n|---|---|---|---|---|---|"
    )
    for seed in seeds:
        for name, planes in (("section 2", [2]), ("sections 2, 8 and 11", [2, 8, 11])):
            marks = painted(truth, planes, 40, seed)
            started = time.process_time()
            trained = volumes.train_classifier(raw, marks)
            for smooth in ("auto", None):
                result = volumes.segment(raw.isel(z=slice(12, 20)), model=trained, smooth=smooth)
                window = f"{1e3 * trained.smooth:.0f} nm, chosen on strokes left out" if smooth else "none"
                found = list(result["label"].isel(z=[2, 5]) == 2)
                row(f"ours, window {window}, {name}", seed, started, found, truth)
            started = time.process_time()
            (image,) = raw.data_vars
            found = peer(raw[image].values, marks["label"].values, planes, (14, 17))
            row(f"scikit-image, {name}", seed, started, found, truth)


def peer(raw: Any, marks: Any, planes: list[int], wanted: tuple[int, ...]) -> list[Any]:
    """Return where scikit-image's segmenter, as it comes, finds the second class."""
    described = {k: multiscale_basic_features(raw[k] / 255.0) for k in {*planes, *wanted}}
    segmenter = TrainableSegmenter()
    segmenter.clf.random_state = 0
    rows = np.concatenate([described[k][plane > 0] for k, plane in zip(planes, marks, strict=True)])
    segmenter.clf.fit(rows, np.concatenate([plane[plane > 0] for plane in marks]))
    return [segmenter.clf.predict(described[k].reshape(-1, rows.shape[1])).reshape(raw[k].shape) == 2 for k in wanted]


def row(name: str, seed: int, started: float, found: list[Any], truth: xr.DataArray) -> None:
    scores = [iou(each, truth.isel(z=k)) for each, k in zip(found, (14, 17), strict=True)]
    cpu = time.process_time() - started
    print(f"| {name} | {seed} | {cpu:.0f} | {scores[0]:.3f} | {scores[1]:.3f} | {np.mean(scores):.3f} |", flush=True)


def report_tio2(seeds: range) -> None:
    print("\n| TiO2 particles | seed | IoU |\n|---|---|---|")
    image = volumes.open(locate("correlative_sem_tsem/1908248_SEM.tif"))
    image = image.isel(y=slice(0, 660)).compute()
    drawn = volumes.open(locate("correlative_sem_tsem/1908248_mask.tif"))
    (name,) = drawn.data_vars
    mask = drawn[name].squeeze(drop=True).isel(y=slice(0, 660)).values > 0
    (picture,) = image.data_vars
    values = image[picture].squeeze(drop=True).values
    print(f"| Otsu's threshold | | {iou(values > threshold_otsu(values), mask):.3f} |")
    for seed in seeds:
        marks = labelled(image[picture].squeeze(drop=True), scribbles(mask, 8, np.random.default_rng(seed)))
        for smooth in ("auto", None):
            result = volumes.segment(image, marks, smooth=smooth)
            print(f"| ours, 8 scribbles a class, smooth={smooth} | {seed} | {iou(result['label'] == 2, mask):.3f} |")
        if seed == 0:
            report_fractions(result, xr.DataArray(mask, result["label"].coords), "TiO2", 500)


def report_fractions(result: xr.Dataset, truth: xr.DataArray, name: str, repeats: int) -> None:
    """Say how often the 95 % interval holds, beside that of the points alone (Wilson's) and its width."""
    phi = float(truth.mean())
    held, half, alone = [], [], []
    for seed in range(repeats):
        points = judged(result, truth, 100, seed)
        found = volumes.phase_fraction(result, points).isel(component=1)
        held.append(float(found["low"]) <= phi <= float(found["high"]))
        half.append(1.98 * float(found["fraction_stderr"]))
        share, z = float((points["label"] == 2).mean()), 1.96
        alone.append(z * np.sqrt(share * (1 - share) / 100 + z**2 / 4e4) / (1 + z**2 / 100))
    raw = float(result["probability"].isel(component=1).mean())
    print(f"\n{name}: fraction {phi:.4f}, mean of the probabilities {raw:.4f}; 100 random points, {repeats} repeats:")
    widths = f"half-width {np.mean(half):.4f}; of the points alone {np.mean(alone):.4f}"
    print(f"the interval holds {100 * np.mean(held):.1f} %, {widths}", flush=True)


def judged(result: xr.Dataset, truth: xr.DataArray, n: int, seed: int) -> xr.Dataset:
    points = volumes.random_points(result, n, seed=seed)
    points["label"][:] = 1 + at(truth, points)
    return points


def at(truth: xr.DataArray, points: xr.Dataset) -> Any:
    return truth.sel({dim: points[dim] for dim in truth.dims}, method="nearest").values


def report_coarse(result: xr.Dataset, truth: xr.DataArray, window: int) -> None:
    """Say how far calibrated probabilities and shares of coarse cells are off, and how often their errors hold."""
    print(f"\n| {window} pixels a cell, points | calibration error | rms error | rms of its error | within 2 errors |")
    print("|---|---|---|---|---|")
    shape = dict.fromkeys(("y", "x"), window)
    share = truth.astype(float).coarsen(shape, boundary="trim").mean()
    axes = {dim: fusion.Axis("um", values=share[dim].values) for dim in share.dims}
    pose, frame = fusion.get_pose(result)
    grid = fusion.dataset(
        {"map": (share.dims, share.values)}, axes, name="map", cell_methods="mean", pose=pose, frame=frame
    )
    for n in (100, 400):
        better = volumes.calibrate_probability(result, judged(result, truth, n, 0))
        found = volumes.partial_volume(better, grid).isel(component=1)
        off, error = (found["fraction"] - share).values, found["fraction_stderr"].values
        scores = [calibration_error(better, truth), *(float(np.sqrt((v**2).mean())) for v in (off, error))]
        within = 100 * float((np.abs(off) <= 2 * error).mean())
        print(f"| {n} | {scores[0]:.3f} | {scores[1]:.3f} | {scores[2]:.3f} | {within:.0f} % |")


def calibration_error(result: xr.Dataset, truth: xr.DataArray) -> float:
    """Return the mean distance between probability and frequency over ten bins (M. P. Naeini et al., AAAI 2015)."""
    share, known = result["probability"].isel(component=1).values.ravel(), truth.values.ravel()
    bins = np.minimum((share * 10).astype(int), 9)
    sums = [np.bincount(bins, each, 10) for each in (share, known)]
    return float(np.abs(sums[0] - sums[1]).sum() / known.size)


def report_active(raw: xr.Dataset, truth: xr.DataArray, seeds: range) -> None:
    """Compare points that are suggested with as many, and more, at random; both begin with five clicks a class."""
    print("\n| section 2, clicks beside the first ten | seed | IoU there |\n|---|---|---|")
    here, known = raw.isel(z=[2]), truth.isel(z=[2])
    for seed in seeds:
        start = clicks(known, seed)
        for n in (50, 100):
            chance = judged(here.assign(label=labelled(known, 1 + known.values)["label"]), known, n, seed)
            result = volumes.segment(here, [start, chance], smooth="20 nm")
            print(f"| {n} at random | {seed} | {iou(result['label'] == 2, known):.3f} |", flush=True)
        marks = [start]
        for _ in range(5):
            result = volumes.segment(here, marks, smooth="20 nm")
            points = volumes.suggest(result, 10, seed=seed)
            points["label"][:] = 1 + at(known, points)
            marks.append(points)
            result = volumes.segment(here, marks, smooth="20 nm")
            print(
                f"| {10 * (len(marks) - 1)} suggested | {seed} | {iou(result['label'] == 2, known):.3f} |", flush=True
            )


def clicks(known: xr.DataArray, seed: int) -> xr.Dataset:
    """Return five pixels of each class, as a person clicks them."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros(known.shape, np.int32)
    for label, mask in ((1, ~known.values), (2, known.values)):
        inside = np.argwhere(ndimage.binary_erosion(mask[0], iterations=3))
        for y, x in inside[rng.choice(len(inside), 5, replace=False)]:
            drawn[0, y, x] = label
    return labelled(known, drawn)


if __name__ == "__main__":
    main()
