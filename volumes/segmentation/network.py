"""A neural network in an ONNX file, as a model of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.axes import length
from fusion.errors import ConspectusError, DataError, FileReadError, UnitError
from volumes.segmentation.features import feature_set
from volumes.segmentation.image import inner, steps_of

Array = npt.NDArray[Any]
_TOLERANCE: Final = 0.05
_NEEDED: Final = ("classes", "pixel", "halo")


@dataclass(frozen=True)
class Network:
    """A network that takes (1, 1, [z,] y, x) and returns probabilities (1, classes, [z,] y, x) of the same size.

    Parameters
    ----------
    names : dict of int to str
        Labels from 1, and what they are called.
    dims : tuple of str
        The axes of its input.
    pixel : float
        The side of a pixel that it was trained on, in um.
    reach : int
        Pixels beyond a block that its answer depends on.
    content : bytes
        The file.
    """

    names: dict[int, str]
    dims: tuple[str, ...]
    pixel: float
    reach: int
    content: bytes
    smooth: ClassVar[float] = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """What the history of a segmentation says of the network."""
        return {"network_sha256": hashlib.sha256(self.content).hexdigest()}

    def halo(self, steps: Mapping[str, float]) -> dict[str, int]:
        """Return how many voxels beyond a block are needed."""
        return dict.fromkeys(self.dims, self.reach)

    def of_block(self, block: Array, dims: tuple[str, ...], steps: Mapping[str, float]) -> Array:
        """Return probabilities, and NaN for a disagreement (spatial..., classes + 1), of a block without its rim.

        A pixel that is NaN is taken for 0, and has no answer.
        """
        rims = tuple(self.reach if dim in self.dims else 0 for dim in dims)
        seen = inner(np.isfinite(block), rims)
        planes = np.nan_to_num(block.astype(np.float32)).reshape(-1, *block.shape[-len(self.dims) :])
        answers = np.stack([self._answer(plane) for plane in planes])
        shares = np.moveaxis(answers, 1, -1).reshape(*block.shape, len(self.names))
        out = np.full((*seen.shape, len(self.names) + 1), np.nan, np.float32)
        out[..., :-1] = inner(shares, rims)
        out[~seen] = np.nan
        return out

    def require_image(self, image: xr.DataArray) -> None:
        """Refuse an image of other axes or another pixel size."""
        steps, dims = steps_of(image), feature_set(image, None).dims
        if dims != self.dims:
            raise DataError(
                f"{image.name} is segmented over {', '.join(dims)}, the network over {', '.join(self.dims)}"
            )
        wrong = {dim: steps[dim] for dim in self.dims if abs(steps[dim] / self.pixel - 1) > _TOLERANCE}
        if wrong:
            raise DataError(
                f"{image.name}: the network was trained on pixels of {self.pixel:.4g} um, and those along "
                f"{', '.join(wrong)} are {next(iter(wrong.values())):.4g} um; bring it there by fusion.resample"
            )

    def _answer(self, plane: Array) -> Array:
        session = _session(self.content)
        (found,) = session.run(None, {session.get_inputs()[0].name: plane[None, None]})
        answer: Array = np.asarray(found)[0]
        expected = (len(self.names), *plane.shape)
        if answer.shape != expected:
            raise DataError(f"the network answers with {answer.shape} where {expected}, classes and pixels, are needed")
        if answer.min() < -1e-4 or abs(answer.sum(axis=0) - 1.0).max() > 1e-3:
            raise DataError("the network's answers are no probabilities, which add up to 1; end it with a softmax")
        return answer


def load_network(path: Path) -> Network:
    """Read a network and what its metadata say: ``classes`` by name, ``pixel`` as a length, ``halo`` in pixels.

    Raises
    ------
    FileReadError
        If it cannot be read, or does not say what is needed.
    """
    try:
        content = path.read_bytes()
        session = _session(content)
    except OSError as error:
        raise FileReadError(path, error.strerror or str(error)) from error
    except ConspectusError:
        raise
    except Exception as error:  # onnxruntime raises classes of its own, of no common base
        raise FileReadError(path, f"it is no ONNX network ({str(error).splitlines()[0]})") from error
    known = session.get_modelmeta().custom_metadata_map
    missing = [key for key in _NEEDED if key not in known]
    if missing:
        hint = "add them to metadata_props, e.g. classes='background cell', pixel='4.6 nm', halo='16'"
        raise FileReadError(path, f"its metadata do not say {', '.join(missing)}", hint=hint)
    rank = len(session.get_inputs()[0].shape)
    if rank not in (4, 5) or not known["halo"].isdigit():
        raise FileReadError(path, f"its input has {rank} axes and its halo is {known['halo']!r}; 4 or 5 and a number")
    try:
        pixel = length(known["pixel"])
    except UnitError as error:
        raise FileReadError(path, f"its pixel is {known['pixel']!r}, not a length such as '4.6 nm'") from error
    names = dict(enumerate(known["classes"].split(), 1))
    return Network(names, ("z", "y", "x")[5 - rank :], pixel, int(known["halo"]), content)


@lru_cache(maxsize=4)
def _session(content: bytes) -> Any:
    """Return what runs the network on one thread: blocks run at once."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError("a network needs onnxruntime: pip install 'conspectus[ai]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
