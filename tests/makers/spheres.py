"""Images of blurred spheres whose places are known, drawn on a finer grid than that of the image."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

import fusion
from fusion import Axis


def packing(rng, size, count, radius, spread=0.0):
    """Return centres (n, 3) and radii of spheres in a box that do not overlap: overlaps are pushed apart."""
    radii = radius * np.clip(1.0 + spread * rng.normal(size=count), 0.6, 1.5)
    centres = rng.uniform(size=(count, 3)) * size
    for _ in range(3000):
        pairs = cKDTree(centres).query_pairs(2.0 * radii.max(), output_type="ndarray")
        apart = centres[pairs[:, 0]] - centres[pairs[:, 1]]
        distance = np.linalg.norm(apart, axis=1)
        overlap = radii[pairs].sum(axis=1) - distance
        touching = overlap > 1e-3
        if not touching.any():
            break
        push = (0.525 * overlap[touching] / distance[touching])[:, None] * apart[touching]
        np.add.at(centres, pairs[touching, 0], push)
        np.add.at(centres, pairs[touching, 1], -push)
        centres = np.clip(centres, 0.0, size)
    return centres, radii


def image_of(centres, radii, shape, sigma, finer=3, margin=9):
    """Return an image (z, y, x) of blurred spheres of brightness 1; lengths in voxels from the centre of the first."""
    wide = np.array([(n + 2 * margin) * finer for n in shape])
    sharp = np.zeros(wide, np.float32)
    for centre, radius in zip((centres + margin + 0.5) * finer - 0.5, radii * finer, strict=True):
        low = np.maximum(np.floor(centre - radius - 1).astype(int), 0)
        high = np.minimum(np.ceil(centre + radius + 2).astype(int), wide)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[box]
        distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)))
        sharp[box] = np.maximum(sharp[box], np.clip(radius - distance + 0.5, 0.0, 1.0))
    blurred = gaussian_filter(sharp, [finer * width for width in sigma], truncate=3.5)
    z, y, x = (n + 2 * margin for n in shape)
    means = blurred.reshape(z, finer, y, finer, x, finer).mean(axis=(1, 3, 5))
    return means[(slice(margin, -margin),) * 3].astype(float)


def suspension(seed, fraction, shape, radius=4.0, spread=0.0, beyond=6.0):
    """Return centres, in voxels from the centre of the first, and radii of spheres that fill and surround an image."""
    rng = np.random.default_rng(seed)
    size = np.array(shape) + 2.0 * beyond
    count = int(fraction * size.prod() / (4.0 / 3.0 * np.pi * radius**3 * (1.0 + 3.0 * spread**2)))
    centres, radii = packing(rng, size, count, radius, spread)
    return centres - beyond - 0.5, radii


def labelled(image, step=(0.2, 0.1, 0.1), offset=(3.0, -1.0, 0.5)):
    """Return an image as a dataset on axes of unequal steps and offsets, in um."""
    axes = {dim: Axis("um", s, o) for dim, s, o in zip("zyx", step, offset, strict=True)}
    return fusion.dataset({"image": (("z", "y", "x"), image)}, axes, name="colloid", cell_methods="mean")
