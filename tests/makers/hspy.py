"""Small files of HyperSpy, sound and hostile, written by hand."""

import pickle
from pathlib import Path

import h5py
import numpy as np


class Trap:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def trap(path: Path) -> tuple[Path, bytes, str]:
    """Return the file that would appear, a pickle and an expression that make it."""
    mark = path / "ran"
    return mark, pickle.dumps(Trap(mark)), f"__import__('pathlib').Path({str(mark)!r}).touch() or x"


def write(path: Path) -> Path:
    from hyperspy.signals import Signal1D

    axes = [{"name": "x", "size": 2, "units": "um"}, {"name": "Wavelength", "size": 3, "offset": 5.0, "units": "nm"}]
    Signal1D(np.arange(6.0).reshape(2, 3), axes=axes).save(path)
    return path


def experiment(file: h5py.File) -> h5py.Group:
    return next(iter(file["Experiments"].values()))
