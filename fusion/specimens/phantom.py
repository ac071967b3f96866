"""A specimen with known truth: a FIB-SEM-like volume, an X-ray map of its face, and landmarks on both."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.affine import Affine
from fusion.conventions import check
from fusion.errors import DataError
from fusion.frames import with_pose
from fusion.model import Axis, dataset

Vector = npt.NDArray[np.float64]

LINES: Final[Mapping[str, Mapping[float, float]]] = {
    "O": {0.525: 1.0},
    "Al": {1.487: 1.0},
    "Si": {1.740: 1.0},
    "Ca": {3.692: 1.0, 4.013: 0.13},
    "Fe": {0.705: 0.4, 6.404: 1.0, 7.058: 0.13},
    "Cu": {0.930: 0.5, 8.048: 1.0, 8.905: 0.13},
}
"""Energies (keV) and rough weights of the main lines: Bearden, Rev. Mod. Phys. 39, 78 (1967), Table V."""

PHASES: Final[Mapping[str, Mapping[str, float]]] = {
    "corundum": {"Al": 0.55, "O": 0.45},
    "wollastonite": {"Ca": 0.35, "Si": 0.30, "O": 0.35},
    "hematite": {"Fe": 0.72, "O": 0.28},
    "copper": {"Cu": 1.0},
}
"""Share of the characteristic X-rays of each phase that come from each element; the last phase forms particles."""

YIELD: Final = (0.8, 1.0, 1.1, 1.3)
"""How brightly each phase shines in X-rays, against the mean count."""

GREY: Final = (90.0, 120.0, 165.0, 220.0)
BEAM: Final = 15.0


def phantom(
    *,
    shape: tuple[int, int, int] = (48, 224, 256),
    voxel: tuple[float, float, float] = (0.030, 0.015, 0.015),
    map_shape: tuple[int, int] = (54, 62),
    pixel: float = 0.050,
    channels: int = 1024,
    counts: float = 400.0,
    angle: float = 7.0,
    shift: tuple[float, float] = (0.18, 0.42),
    landmarks: int = 24,
    seed: int = 0,
) -> xr.DataTree:
    """Make a specimen of four phases as two instruments see it, together with the truth.

    Parameters
    ----------
    shape, voxel : three numbers
        Voxels and voxel size (z, y, x) in um of the FIB-SEM volume.
    map_shape, pixel : two numbers, float
        Pixels (y, x) and pixel size in um of the X-ray map of the face.
    channels : int
        Channels of the X-ray spectrum, from 0 to 10.24 keV.
    counts : float
        Mean number of X-rays in a pixel.
    angle, shift : float, (float, float)
        How the map is turned about z in degrees, and shifted along y and x in um, against the volume.
    landmarks : int
        Number of pairs of landmarks, picked with an error of 0.1 pixel in the map and 0.3 voxel in the volume.
    seed : int
        The same seed gives the same specimen.

    Returns
    -------
    DataTree
        ``/map`` ``counts(y, x, energy)``, Poisson, in its own frame; ``/volume`` ``image(z, y, x)`` with noise and
        curtaining; ``/truth`` ``phase(z, y, x)``; ``/map_truth`` ``abundance(y, x, component)`` and
        ``endmember(component, energy)`` in the frame of the volume; ``/landmarks`` ``map`` and ``volume`` (point,
        axis) with their errors ``map_sigma`` and ``volume_sigma`` (axis).

    Raises
    ------
    DataError
        If the map does not lie within the face of the volume.

    Examples
    --------
    >>> tree = phantom(shape=(4, 60, 60), map_shape=(8, 9), channels=64, shift=(0.1, 0.1))
    >>> dict(tree["map"].sizes)
    {'y': 8, 'x': 9, 'energy': 64}
    """
    rng = np.random.default_rng(seed)
    labels = _phases(shape, rng)
    depth = 2.0 * voxel[0]
    pose = Affine.translation(0.0, *shift) @ Affine.rotation(angle)
    abundance = counts * np.array(YIELD) * _abundance(labels, voxel, map_shape, pixel, pose)
    energy = Axis("keV", 10.24 / channels, 5.12 / channels)
    endmember = _endmembers(energy.centres(channels, "keV"))
    expected = abundance.reshape(-1, len(PHASES)) @ endmember
    spectra = rng.poisson(expected).reshape(*map_shape, channels)
    spectra = spectra.astype(np.uint16 if spectra.max() <= np.iinfo(np.uint16).max else np.uint32)

    plane = Axis("um", values=voxel[0] / 2.0, long_name="middle of the depth that the X-rays come from")
    flat = {"y": Axis("um", pixel), "x": Axis("um", pixel), "z": plane, "energy": energy}
    space = {dim: Axis("um", step) for dim, step in zip("zyx", voxel, strict=True)}
    edx = {"technique": "EDX", "beam_energy": BEAM, "depth": depth}
    nodes = {
        "map": dataset(
            {"counts": (("y", "x", "energy"), spectra, {"units": "count", "long_name": "X-rays"})},
            flat, name="map", cell_methods="sum", attrs=edx,
        ),
        "volume": dataset(
            {"image": (("z", "y", "x"), _fib_sem(labels, rng), {"long_name": "backscattered electrons"})},
            space, name="volume", cell_methods="mean", attrs={"technique": "FIB-SEM"},
        ),
        "truth": dataset({"phase": (("z", "y", "x"), labels, _flags())}, space, name="truth", frame="volume"),
        "map_truth": dataset(
            {
                "abundance": (("y", "x", "component"), abundance, {"units": "count"}),
                "endmember": (("component", "energy"), endmember),
            },
            {**flat, "component": list(PHASES)}, name="map_truth", cell_methods="mean", pose=pose, frame="volume",
        ),
        "landmarks": _landmarks(landmarks, map_shape, pixel, voxel, pose, rng),
    }  # fmt: skip
    call = {"shape": shape, "voxel": voxel, "map_shape": map_shape, "pixel": pixel, "channels": channels,
            "counts": counts, "angle": angle, "shift": shift, "landmarks": landmarks, "seed": seed}  # fmt: skip
    return check(xr.DataTree.from_dict({k: provenance.record(ds, "fusion.phantom", call) for k, ds in nodes.items()}))


def _phases(shape: tuple[int, int, int], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return smooth domains of all phases but the last, which forms balls within them."""
    from scipy.ndimage import gaussian_filter

    # Each phase has a smooth random field; a voxel belongs to the phase whose field is largest there, which gives
    # domains with curved, sharp borders and triple lines.
    # All are drawn before the first is smoothed, so that the order of threads changes nothing.
    smooth = np.array(shape) / [4.0, 12.0, 12.0]
    noise = [rng.normal(size=shape) for _ in range(len(PHASES) - 1)]
    with ThreadPoolExecutor() as pool:
        fields = list(pool.map(lambda field: gaussian_filter(field, smooth, mode="wrap"), noise))
    labels: npt.NDArray[np.uint8] = np.argmax(fields, axis=0).astype(np.uint8)
    for _ in range(24):
        radius = rng.uniform(0.035, 0.07) * shape[1]
        _put_ball(labels, rng.uniform(0.0, 1.0, 3) * shape, radius)
    return labels


def _put_ball(labels: npt.NDArray[np.uint8], centre: Vector, radius: float) -> None:
    """Write the last phase into a ball; a slice is twice as thick as a voxel is wide."""
    squeeze = np.array([2.0, 1.0, 1.0])
    # Only the box about the ball is asked, a thousandth of the volume.
    low = np.maximum(np.floor(centre - radius / squeeze), 0).astype(int)
    high = np.ceil(centre + radius / squeeze).astype(int) + 1
    box = labels[tuple(map(slice, low, high))]
    axes = [np.arange(start, start + size) for start, size in zip(low, box.shape, strict=True)]
    z, y, x = (step * (axis - at) for step, axis, at in zip(squeeze, axes, centre, strict=True))
    box[z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < radius**2] = len(PHASES) - 1


# The X-rays of a pixel come from its area and from a depth of two slices. The area is sampled at the centres of 7 × 7
# subpixels, so that a share is exact to 1/98 and does not depend on how the pixel grid meets the voxel grid.
def _abundance(
    labels: npt.NDArray[np.uint8], voxel: tuple[float, ...], map_shape: tuple[int, int], pixel: float, pose: Affine
) -> Vector:
    """Return the share of each phase in each pixel, averaged over its area and the upper two slices."""
    fine = 7
    offsets = (np.arange(fine) - fine // 2) * pixel / fine
    y, x = ((np.arange(size)[:, None] * pixel + offsets).ravel() for size in map_shape)
    points = np.stack(np.meshgrid(0.0, y, x, indexing="ij"), axis=-1)[0]
    index = np.rint(pose(points)[..., 1:] / voxel[1:]).astype(int)
    if index.min() < 0 or (index >= np.array(labels.shape[1:])).any():
        reach = (np.array(labels.shape[1:]) * voxel[1:]).round(3).tolist()
        raise DataError(f"the map leaves the face of the volume, {reach} um (y, x); use a smaller map, shift or angle")
    seen = labels[:2, index[..., 0], index[..., 1]]
    shares = np.stack([(seen == phase).mean(axis=0) for phase in range(len(PHASES))], axis=-1)
    blocks = shares.reshape(map_shape[0], fine, map_shape[1], fine, -1)
    averaged: Vector = blocks.mean(axis=(1, 3))
    return averaged


def _endmembers(energy: Vector) -> Vector:
    """Return one spectrum of unit sum for each phase: its lines on a bremsstrahlung background."""
    # Continuum after Kramers (Phil. Mag. 46, 836 (1923)): intensity ~ (E0 - E) / E, E0 the beam energy in keV, times
    # the transmission of the detector's window, 1 - exp(-E / 0.4 keV); one fifth of the counts.
    spectra = []
    for phase in PHASES.values():
        lines = sum(share * _element(energy, LINES[element]) for element, share in phase.items())
        background = np.clip(BEAM / energy - 1.0, 0.0, 40.0) * (1.0 - np.exp(-energy / 0.4))
        spectra.append(0.8 * lines / np.sum(lines) + 0.2 * background / background.sum())
    return np.array(spectra)


def _element(energy: Vector, lines: Mapping[float, float]) -> Vector:
    peaks = [weight * _peak(energy, centre) for centre, weight in lines.items()]
    summed: Vector = np.sum(peaks, axis=0)
    return summed / sum(lines.values())


def _peak(energy: Vector, centre: float) -> Vector:
    """Return a line as a detector of 130 eV at 5.895 keV shows it.

    FWHM² = 2.5 (E - E_ref) + FWHM_ref² in eV: Fiori and Newbury, Scanning Electron Microscopy 1978/I, 401.
    """
    fwhm = np.sqrt(2.5 * (centre - 5.895) * 1e3 + 130.0**2) * 1e-3
    sigma = fwhm / np.sqrt(8.0 * np.log(2.0))
    gauss: Vector = np.exp(-0.5 * ((energy - centre) / sigma) ** 2) / sigma
    return gauss


def _fib_sem(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return grey values with the probe's blur, curtains along y in each slice, and noise."""
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    grey = gaussian_filter(np.asarray(GREY, dtype=np.float32)[labels], (0.0, 0.8, 0.8))
    # Curtaining: the ion beam mills each slice with its own streaks, constant along y, a few voxels wide.
    curtains = gaussian_filter1d(rng.normal(size=(labels.shape[0], 1, labels.shape[2])), 1.5, axis=2)
    curtains *= 6.0 / curtains.std()
    noise = rng.normal(scale=9.0, size=labels.shape)
    image: npt.NDArray[np.float32] = (grey + curtains + noise).astype(np.float32)
    return image


def _flags() -> dict[str, object]:
    return {"flag_values": np.arange(len(PHASES), dtype=np.uint8), "flag_meanings": " ".join(PHASES)}


def _landmarks(
    count: int, map_shape: tuple[int, int], pixel: float, voxel: tuple[float, float, float], pose: Affine,
    rng: np.random.Generator,
) -> xr.Dataset:  # fmt: skip
    """Return pairs of landmarks spread over the face, with the error of a careful click."""
    reach = np.array([0.0, *(size - 1 for size in map_shape)]) * pixel
    positions = rng.uniform(0.05, 0.95, size=(count, 3)) * reach
    # A tenth of a map pixel and a third of a voxel: what people reach who click with care on a zoomed image.
    errors = {"map": np.array([1e-3, 0.1 * pixel, 0.1 * pixel]), "volume": 0.3 * np.array(voxel)}
    exact = {"map": positions, "volume": pose(positions)}
    um = {"units": "um"}
    picked = {
        name: (("point", "axis"), exact[name] + rng.normal(size=positions.shape) * errors[name], um) for name in exact
    }
    sigma = {f"{name}_sigma": (("axis",), errors[name], um) for name in exact}
    return with_pose(dataset({**picked, **sigma}, {"axis": list("zyx")}, name="landmarks"), Affine.identity(), "none")
