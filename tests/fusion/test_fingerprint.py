"""The sha256 of a dataset: whatever changes a result changes it, and nothing else does."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from fusion.fingerprint import fingerprint
from tests.makers.datasets import rich, tree


def changed_value(ds: xr.Dataset) -> xr.Dataset:
    values = ds["image"].values.copy()
    values[0, 0] = np.nextafter(values[0, 0], np.inf)
    return ds.assign(image=ds["image"].copy(data=values))


def changed_label(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(component=["hematite", "corundum"])


CHANGES: list[Callable[[xr.Dataset], xr.Dataset]] = [
    changed_value,
    changed_label,
    lambda ds: ds.assign(image=ds["image"].astype(np.float32)),
    lambda ds: ds.assign(image=ds["image"].T),
    lambda ds: ds.rename(image="picture"),
    lambda ds: ds.drop_vars("single"),
    lambda ds: ds.assign_attrs(kv=20.0),
    lambda ds: ds.assign(image=ds["image"].assign_attrs(units="nm")),
    lambda ds: ds.assign_coords(x=ds["x"] + 1e-12),
    lambda ds: ds.reset_coords("z"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change: Callable[[xr.Dataset], xr.Dataset]) -> None:
    assert fingerprint(change(rich())) != fingerprint(rich())


def test_times_versions_and_blocks_do_not_count() -> None:
    ds = rich()
    same = [
        ds.assign_attrs(history="now", provenance="{}", title="other"),
        ds.chunk({"y": 1, "x": 2}),
        ds.copy(deep=True),
    ]
    assert {fingerprint(other) for other in same} == {fingerprint(ds)}
    assert fingerprint(tree()["fused"].to_dataset()) != fingerprint(ds)
