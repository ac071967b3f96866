"""Small files of NeXus, written by hand."""

import h5py
import numpy as np

Y, X = ("sample_y", np.array([1.0, 1.5]), "mm"), ("sample_x", np.array([0.0, 10.0, 20.0]), "um")


def write(path, axes, /, *, values=None, name="data", definition="", default=True, **attrs):
    """Write an NXdata group; axes are (name, values, unit), and further attributes replace those of the group."""
    shape = tuple(len(axis[1]) for axis in axes)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) if values is None else values
    with h5py.File(path, "a") as file:
        entry = file.require_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        if definition:
            entry["definition"] = definition
        group = entry.create_group(name)
        said = {"NX_class": "NXdata", "signal": "counts", "axes": [axis[0] for axis in axes], **attrs}
        for key, value in said.items():
            if value is not None:
                group.attrs[key] = value
        group["counts"] = values
        for label, positions, unit in axes:
            group[label] = positions
            if unit is not None:
                group[label].attrs["units"] = unit
        if default:
            file.attrs["default"], entry.attrs["default"] = "entry", name
    return path
