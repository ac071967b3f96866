"""Race the trilinear kernel against VTK, SimpleITK and a plain copy.

    python benchmarks/fusion/resample.py [--size 192] [--repeat 5]      8 component maps at once
    python benchmarks/fusion/resample.py --single [--size 256]          1 channel

A cube is rotated by 10 degrees about an oblique axis through its centre; everybody may use all cores. The
contenders take turns, so that a noisy machine is noisy for all, and the ratios are medians over turns.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkImagingCore import vtkImageReslice

import fusion
from fusion.resampling import _kernels

Array = NDArray[Any]
Contender = Callable[[], Array]
"""Resamples once and returns the result as (z, y, x, k)."""


def rotation(size: int) -> Array:
    """Return the (3, 4) index matrix of the rotation about the centre of a cube."""
    turn = Rotation.from_rotvec(np.deg2rad(10) * np.array([1, 2, 3]) / np.sqrt(14)).as_matrix()
    centre = np.full(3, (size - 1) / 2)
    return np.column_stack([turn, centre - turn @ centre])


def ours(source: Array, matrix: Array, out: Array, inside: Array) -> Contender:
    """Resample with our kernel, into a buffer that is kept."""
    z, y, x = (np.arange(n, dtype=float) for n in source.shape[:3])

    def run() -> Array:
        _kernels.linear(source, matrix, (z, y, x), out, inside)
        return out

    return run


def labelled(source: Array, matrix: Array) -> Contender:
    """Resample with `fusion.resample`: checks, labels and a fresh output at every call included."""
    axes = {dim: fusion.Axis("um", 1.0) for dim in "zyx"}
    variables = {"maps": (("z", "y", "x", "component"), source)}
    components = {"component": np.arange(source.shape[3])}
    ds = fusion.dataset(variables, {**axes, **components}, name="maps", cell_methods="mean")
    transform = fusion.Affine(np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])).inverse()

    def run() -> Array:
        values: Array = fusion.resample(ds, ds, transform=transform)["maps"].values
        return values

    return run


def vtk(source: Array, matrix: Array) -> Contender:
    """Resample with `vtkImageReslice`; the filter, and with it its output buffer, is kept."""
    nz, ny, nx, k = source.shape
    image = vtkImageData()
    image.SetDimensions(nx, ny, nz)
    image.GetPointData().SetScalars(numpy_to_vtk(source.reshape(-1, k)))
    axes = vtkMatrix4x4()
    for i in range(3):
        for j in range(4):
            # VTK counts x, y, z.
            axes.SetElement(i, j, matrix[2 - i, 3 if j == 3 else 2 - j])
    reslice = vtkImageReslice()
    reslice.SetInputData(image)
    reslice.SetResliceAxes(axes)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputExtent(0, nx - 1, 0, ny - 1, 0, nz - 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)

    def run() -> Array:
        reslice.Modified()
        reslice.Update()
        values: Array = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
        return values.reshape(source.shape)

    return run


def itk(source: Array, matrix: Array) -> Contender:
    """Resample with SimpleITK, channel by channel on contiguous images; its API takes no output buffer."""
    images = [SimpleITK.GetImageFromArray(np.ascontiguousarray(source[..., c])) for c in range(source.shape[3])]
    transform = SimpleITK.AffineTransform(3)
    transform.SetMatrix(matrix[::-1, 2::-1].ravel().tolist())
    transform.SetTranslation(matrix[::-1, 3].tolist())
    resample = SimpleITK.ResampleImageFilter()
    resample.SetReferenceImage(images[0])
    resample.SetInterpolator(SimpleITK.sitkLinear)
    resample.SetTransform(transform)

    results: list[SimpleITK.Image] = []

    def run() -> Array:
        results.clear()
        results.extend(resample.Execute(image) for image in images)
        # A view does not keep its image alive; the list does.
        return SimpleITK.GetArrayViewFromImage(results[0])[..., None]

    return run


def copy(source: Array, out: Array) -> Contender:
    """Do the least any resampling must do: read everything once, write everything once."""

    def run() -> Array:
        np.copyto(out, source)
        return out

    return run


def check(contenders: dict[str, Contender], source: Array, matrix: Array, inside: Array) -> None:
    """Assert that the first channel of every result is scipy's, where the point is inside."""
    wanted = affine_transform(source[..., 0], matrix[:, :3], matrix[:, 3], order=1)
    for name, contender in contenders.items():
        # The first contender, ours, fills `inside`.
        error = np.abs(contender()[..., 0] - wanted)[inside].max()
        # VTK maps the points in float32.
        assert error < (1e-4 if "vtk" in name else 1e-5), f"{name} differs from scipy by {error}"


def race(contenders: dict[str, Contender], repeat: int) -> dict[str, Array]:
    """Return the seconds of every turn of every contender."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeat):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(turns) for name, turns in seconds.items()}


def main() -> None:
    """Check that all agree, race them, print the table."""
    options = arguments()
    channels = 1 if options.single else 8
    size = options.size or (256 if options.single else 192)
    shape = (size, size, size, channels)
    source, matrix = np.random.default_rng(0).random(shape, np.float32), rotation(size)
    out, inside = np.empty_like(source), np.empty(shape[:3], bool)
    resamplers = {
        "ours": ours(source, matrix, out, inside),
        "fusion.resample": labelled(source, matrix),
        "vtkImageReslice": vtk(source, matrix),
        f"SimpleITK x {channels}": itk(source, matrix),
    }
    check(resamplers, source, matrix, inside)
    seconds = race(resamplers | {"numpy copy": copy(source, np.zeros_like(source))}, options.repeat)
    print(f"{size}^3 x {channels} float32, 10 degrees, median of {options.repeat}")
    for name, turns in seconds.items():
        print(f"{name:16} {np.median(turns) * 1e3:9.1f} ms {np.median(turns / seconds['ours']):7.2f} x ours")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Race the trilinear kernel against its peers.")
    parser.add_argument("--size", type=int, help="edge of the cube, 192 (--single: 256) if left out")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--single", action="store_true", help="1 channel instead of 8")
    return parser.parse_args()


if __name__ == "__main__":
    main()
