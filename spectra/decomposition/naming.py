"""Names for the components of a decomposition, which pictures, reports and files then show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

import fusion
from fusion import provenance
from fusion.errors import DataError


def name_components(result: xr.Dataset, names: Sequence[str] | Mapping[int, str]) -> xr.Dataset:
    """Give the components of a decomposition names, as its coordinate ``component``.

    Parameters
    ----------
    result : Dataset
        With a dim ``component``, as `decompose`, `unmix` or `fusion.fuse` return it.
    names : sequence of str, or mapping of int to str
        One for each component in their order; of a mapping from positions, those that are missing stay as they are.

    Returns
    -------
    Dataset
        The same with text on ``component``: ``result.sel(component="iron")``. `spectra.plot`, `volumes.picture`, the
        report and `fusion.save` have the names.

    Raises
    ------
    DataError
        If there is no dim ``component``, the names are not as many, a position is not there, or a name is empty or
        comes twice.

    Examples
    --------
    >>> from fusion import Axis
    >>> axes = {"x": Axis("um", 1.0), "component": [0, 1]}
    >>> ds = fusion.dataset({"abundance": (("x", "component"), [[2.0, 1.0]])}, axes, name="map", cell_methods="mean")
    >>> name_components(ds, ["iron", "oxide"])["component"].values
    array(['iron', 'oxide'], dtype='<U5')
    """
    fusion.check(result)
    if "component" not in result.dims:
        raise DataError(f"a decomposition has components; the dims are {', '.join(map(str, result.dims))}")
    count = result.sizes["component"]
    present = result["component"].values.tolist() if "component" in result.coords else list(range(count))
    if isinstance(names, Mapping):
        if wrong := [key for key in names if key not in range(count)]:
            raise DataError(f"components are numbered from 0 to {count - 1}; received {wrong}")
        texts = [names.get(number, str(present[number])) for number in range(count)]
    else:
        texts = list(names)
    if isinstance(names, str) or len(texts) != count:
        raise DataError(f"{len(texts)} names for {count} components; give one for each")
    if not all(isinstance(text, str) and text for text in texts) or len(set(texts)) < count:
        raise DataError(f"names are texts that differ; received {texts}")
    attrs = result["component"].attrs if "component" in result.coords else {"long_name": "component"}
    named = result.assign_coords(component=("component", np.array(texts), attrs))
    return provenance.record(fusion.check(named), "spectra.name_components", {"names": texts})
