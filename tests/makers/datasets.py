"""Labelled datasets with every kind of content, and how they are compared."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import fusion
from fusion import Axis

XY = {"y": Axis("um", 0.25, -1.0), "x": Axis("um", 0.5, 3.0)}


def small(values: Any = None, **attrs: Any) -> xr.Dataset:
    values = np.arange(6.0).reshape(2, 3) if values is None else values
    return fusion.dataset({"image": (("y", "x"), values)}, XY, name="sem", cell_methods="mean", attrs=attrs)


def rich() -> xr.Dataset:
    """Return a dataset with every kind of content: counts, NaN, text, labels, a plane, a tilted and vague pose."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(4, 5))
    image[1, 2] = np.nan
    root = rng.normal(size=(12, 12))
    return fusion.dataset(
        {
            "counts": (("y", "x", "energy"), rng.poisson(3.0, (4, 5, 6)).astype(np.uint16), {"units": "count"}),
            "image": (("y", "x"), image),
            "single": (("y", "x"), image.astype(np.float32)),
            "phase": (("y", "x"), np.ones((4, 5), np.int8), {"flag_values": np.int8([0, 1]), "flag_meanings": "a b"}),
            "endmember": (("component", "energy"), rng.uniform(size=(2, 6))),
            "formula": (("component",), np.array(["Fe₂O₃", "Al2O3 µ"])),
        },
        {**XY, "z": Axis("nm", values=70.0), "energy": Axis("eV", 10.0), "component": ["hématite", "corundum"]},
        name="map", cell_methods={"counts": "sum", "image": "mean", "single": "mean"}, frame="Bühne ☃",
        pose=fusion.Affine(fusion.Affine.rotation(9.0).matrix, covariance=root @ root.T),
        attrs={"operator": "Zoë", "kv": 15.0, "frames": 3, "window": [1.5, 2.5], "words": ["a", "b"], "empty": ""},
    )  # fmt: skip


def tree() -> xr.DataTree:
    axes = {"z": Axis("um", 0.3, 5.0), "y": Axis("um", 0.2, -1.0), "x": Axis("um", 0.1, 2.0)}
    values = {"v": (("z", "y", "x"), np.arange(60.0, dtype=np.float32).reshape(3, 4, 5))}
    fused = fusion.dataset(values, axes, name="fused", cell_methods="mean")
    return xr.DataTree.from_dict({"/fused": fused, "/map": rich(), "/sem/lamella": small(), "/sem/overview": small()})


def assert_same(loaded: Any, expected: Any) -> None:
    """Compare more strictly than `identical`: types, order, widths of text, bytes of values, kinds of attributes."""
    assert type(loaded) is type(expected)
    if isinstance(expected, xr.DataTree):
        assert loaded.name == expected.name
        assert [node.path for node in loaded.subtree] == [node.path for node in expected.subtree]
        for ours, theirs in zip(loaded.subtree, expected.subtree, strict=True):
            assert_same(ours.to_dataset(inherit=False), theirs.to_dataset(inherit=False))
        return
    assert list(loaded.variables) == list(expected.variables)
    assert list(loaded.data_vars) == list(expected.data_vars)
    assert set(loaded.coords) == set(expected.coords)
    assert_same_attrs(loaded.attrs, expected.attrs)
    for name, variable in expected.variables.items():
        ours = loaded.variables[name]
        assert (ours.dims, ours.shape, ours.dtype) == (variable.dims, variable.shape, variable.dtype), name
        assert ours.dtype.str == variable.dtype.str, name
        if variable.dtype.kind == "O":
            assert ours.values.tolist() == variable.values.tolist()
        else:
            assert np.asarray(ours.values).tobytes() == np.asarray(variable.values).tobytes(), name
        assert_same_attrs(ours.attrs, variable.attrs)


def assert_seen(path: Path, expected: Any, engine: str) -> None:
    """Open a file with plain xarray, which knows nothing of the manifest, and compare every name, dim and value."""
    options: dict[str, Any] = {"engine": engine, "decode_times": False, "decode_timedelta": False}
    if isinstance(expected, xr.DataTree):
        with xr.open_datatree(path, **options) as tree:
            assert {node.path for node in tree.subtree} == {node.path for node in expected.subtree}
            for node in expected.subtree:
                assert_seen_dataset(tree[node.path].to_dataset(inherit=False), node.to_dataset(inherit=False))
    else:
        with xr.open_dataset(path, **options) as ds:
            assert_seen_dataset(ds, expected)


def assert_seen_dataset(ds: xr.Dataset, expected: xr.Dataset) -> None:
    assert set(ds.variables) == set(expected.variables)
    assert set(ds.coords) == set(expected.coords)
    for name, variable in expected.variables.items():
        ours = ds.variables[name].values
        theirs = variable.values
        if theirs.dtype.kind == "c":  # NetCDF has none: real and imaginary part lie along a dim of their own
            theirs = theirs.astype(theirs.dtype.newbyteorder("="))[..., None].view(f"f{theirs.itemsize // 2}")
        assert ours.shape == theirs.shape, name
        if theirs.dtype.kind in "OSU":
            assert ours.tolist() == theirs.tolist(), name
        else:
            np.testing.assert_array_equal(ours, theirs, str(name))


def assert_same_attrs(loaded: dict[Any, Any], expected: dict[Any, Any]) -> None:
    assert list(loaded) == list(expected)
    for key, value in expected.items():
        assert same_value(loaded[key], value), (key, loaded[key], value)


def same_value(ours: Any, theirs: Any) -> bool:
    """Whether two attributes have one type, and one value to the last bit."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same_value, ours, theirs))
    if isinstance(theirs, np.ndarray | np.generic):
        return ours.dtype.str == theirs.dtype.str and ours.shape == theirs.shape and ours.tobytes() == theirs.tobytes()
    return ours == theirs or (ours != ours and theirs != theirs)
