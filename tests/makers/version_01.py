"""Project files as version 0.1 wrote them: the fused dataset in the root group, the modalities in groups below."""

from pathlib import Path

import xarray as xr


def write_version_01(tree: xr.DataTree, path: Path) -> Path:
    """Write a tree with the node ``fused``, in the encoding of that version."""
    nodes = {node.path.strip("/"): node.to_dataset() for node in tree.subtree if node.has_data}
    groups = {"/": nodes.pop("fused"), **nodes}
    for mode, (group, ds) in zip("w" + "a" * len(nodes), groups.items(), strict=True):
        positions = {dim: f"{dim}_position" for dim in "zyx" if dim in ds.coords and ds[dim].ndim == 0}
        encoding = {name: {} if v.dtype.kind in "SUO" else {"_FillValue": None} for name, v in ds.variables.items()}
        encoding = {positions.get(name, name): row for name, row in encoding.items()}
        plain = ds.rename(positions).drop_encoding()
        plain.to_netcdf(path, mode=mode, group=group, engine="h5netcdf", encoding=encoding)
    return path
