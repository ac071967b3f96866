"""Transform files of ITK, SimpleITK, elastix and Slicer: text (.tfm, .txt) and HDF5 (.h5).

ITK counts axes x, y, z and maps points of the fixed image to the moving one: the inverse of ours. A centre of rotation
lies in the fixed parameters. A composite applies its last transform first. The unit is that of the images and not in
the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.errors import FileReadError
from fusion.files.hdf5 import opened

Array = npt.NDArray[np.float64]
_HEADER: Final = "#Insight Transform File V1.0"
_AFFINE: Final = "AffineTransform_double_3_3"


class Part(NamedTuple):
    """One transform of a file: its name there, its parameters and its fixed parameters."""

    name: str
    parameters: Array
    fixed: Array


def read(path: Path) -> Array:
    """Return the matrix (4, 4) of a file on (z, y, x, 1), from the fixed to the moving side, in the file's unit."""
    parts = _from_hdf5(path) if path.suffix.lower() in (".h5", ".hdf5") else _from_text(path)
    # "CompositeTransform" only says that there are several
    parts = [part for part in parts if not part.name.startswith("CompositeTransform")]
    if not parts:
        raise FileReadError(path, "the file holds no transform")
    total = np.eye(4)
    for part in parts:
        total = total @ _matrix(path, part)
    return total


def text_of(matrix: Array) -> str:
    """Return a matrix (4, 4) on (z, y, x, 1), from the fixed to the moving side, as a text file of ITK."""
    parameters = " ".join(repr(float(number)) for number in _parameters(matrix))
    return f"{_HEADER}\n#Transform 0\nTransform: {_AFFINE}\nParameters: {parameters}\nFixedParameters: 0 0 0\n"


def write_hdf5(matrix: Array, path: Path) -> None:
    """Write a matrix (4, 4) on (z, y, x, 1), from the fixed to the moving side, as an HDF5 file of ITK."""
    import h5py

    with h5py.File(path, "w") as file:
        part = file.create_group("TransformGroup/0")
        # one text, not a scalar, is what ITK's reader asks for
        part.create_dataset("TransformType", data=[_AFFINE], dtype=h5py.string_dtype("ascii"))
        part["TransformParameters"] = _parameters(matrix)
        part["TransformFixedParameters"] = np.zeros(3)


def _parameters(matrix: Array) -> Array:
    """Return the twelve numbers of an affine transform of ITK: the linear part row by row on (x, y, z), the shift."""
    return np.concatenate([matrix[:3, :3][::-1, ::-1].ravel(), matrix[:3, 3][::-1]])


def _from_text(path: Path) -> list[Part]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith(_HEADER):
        raise FileReadError(path, f"a transform file of ITK begins with {_HEADER!r}")
    parts = []
    for block in re.split(r"^#Transform \d+\s*$", text, flags=re.MULTILINE)[1:]:
        found = dict(re.findall(r"^(Transform|Parameters|FixedParameters):[ \t]*(.*)$", block, flags=re.MULTILINE))
        try:
            numbers = [np.array(found.get(key, "").split(), dtype=float) for key in ("Parameters", "FixedParameters")]
        except ValueError as error:
            raise FileReadError(path, f"a parameter is no number ({error})") from error
        parts.append(Part(found.get("Transform", "").strip(), numbers[0], numbers[1]))
    return parts


def _from_hdf5(path: Path) -> list[Part]:
    with opened(path) as file:
        if "TransformGroup" not in file:
            raise FileReadError(path, "a transform file of ITK has a group TransformGroup; this one has none")
        group = file["TransformGroup"]
        parts = []
        for key in sorted(group, key=int):
            name = group[key]["TransformType"][()][0]
            arrays = [
                np.asarray(group[key][which][()], dtype=float) if which in group[key] else np.zeros(0)
                for which in ("TransformParameters", "TransformFixedParameters")
            ]
            parts.append(Part(name.decode() if isinstance(name, bytes) else str(name), arrays[0], arrays[1]))
    return parts


def _matrix(path: Path, part: Part) -> Array:
    """Return the matrix of one transform on (z, y, x, 1); one in a plane leaves z as it is."""
    kind, _, dims = part.name.partition("_")
    dim = 2 if dims.endswith("2_2") else 3
    if (kind, dim) not in _LINEAR:
        known = ", ".join(sorted({f"{name} ({size}-D)" for name, size in _LINEAR}))
        raise FileReadError(path, f"{part.name or 'a transform without a name'} is not linear or not known",
                            hint=f"known are {known}")  # fmt: skip
    count, parts = _LINEAR[kind, dim]
    if len(part.parameters) != count:
        raise FileReadError(path, f"{part.name} has {count} parameters; the file has {len(part.parameters)}")
    linear, shift = parts(part.parameters)
    centre = part.fixed[:dim] if len(part.fixed) >= dim and kind != "TranslationTransform" else np.zeros(dim)
    # ITK: y = R (x - c) + c + t
    shift = shift + centre - linear @ centre
    matrix = np.eye(4)
    matrix[3 - dim : 3, 3 - dim : 3] = linear[::-1, ::-1]
    matrix[3 - dim : 3, 3] = shift[::-1]
    return matrix


def _turn(axis: int, angle: float) -> Array:
    """Return the right-handed rotation about x, y or z, on (x, y, z)."""
    cos, sin = np.cos(angle), np.sin(angle)
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def _versor(vector: Array) -> Array:
    """Return the rotation of a unit quaternion whose vector part this is; the scalar part is positive."""
    x, y, z = vector
    w = np.sqrt(max(1.0 - float(vector @ vector), 0.0))
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


Linear = Callable[[Array], tuple[Array, Array]]
_LINEAR: Final[dict[tuple[str, int], tuple[int, Linear]]] = {
    ("IdentityTransform", 3): (0, lambda p: (np.eye(3), np.zeros(3))),
    ("IdentityTransform", 2): (0, lambda p: (np.eye(2), np.zeros(2))),
    ("TranslationTransform", 3): (3, lambda p: (np.eye(3), p)),
    ("TranslationTransform", 2): (2, lambda p: (np.eye(2), p)),
    ("AffineTransform", 3): (12, lambda p: (p[:9].reshape(3, 3), p[9:])),
    ("AffineTransform", 2): (6, lambda p: (p[:4].reshape(2, 2), p[4:])),
    ("MatrixOffsetTransformBase", 3): (12, lambda p: (p[:9].reshape(3, 3), p[9:])),
    ("MatrixOffsetTransformBase", 2): (6, lambda p: (p[:4].reshape(2, 2), p[4:])),
    ("Euler3DTransform", 3): (6, lambda p: (_turn(2, p[2]) @ _turn(0, p[0]) @ _turn(1, p[1]), p[3:])),
    ("Euler2DTransform", 2): (3, lambda p: (_turn(2, p[0])[:2, :2], p[1:])),
    ("VersorRigid3DTransform", 3): (6, lambda p: (_versor(p[:3]), p[3:])),
    ("Similarity3DTransform", 3): (7, lambda p: (p[6] * _versor(p[:3]), p[3:6])),
    ("Similarity2DTransform", 2): (4, lambda p: (p[0] * _turn(2, p[1])[:2, :2], p[2:])),
}
"""Linear transforms by name and dimension: their number of parameters, and how these make matrix and shift."""
