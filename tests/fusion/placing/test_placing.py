"""Counts placed in volumes and measured again; what is lost is said."""

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis


def grid(shape: tuple[int, int, int], step: float) -> xr.Dataset:
    axes = {dim: Axis("um", step, -step * (n - 1) / 2) for dim, n in zip("zyx", shape, strict=True)}
    return fusion.dataset({"grey": (("z", "y", "x"), np.ones(shape))}, axes, name="v", cell_methods="mean", frame="s")


def counts(seed: int = 0, n: int = 10, pixel: float = 0.4) -> xr.Dataset:
    values = np.random.default_rng(seed).poisson(30.0, (n, n + 1, 2))
    axes = {dim: Axis("um", pixel, -pixel * (m - 1) / 2) for dim, m in (("y", n), ("x", n + 1))}
    variables = {"n": (("y", "x", "channel"), values)}
    return fusion.dataset(variables, axes | {"channel": [0, 1]}, name="m", cell_methods="sum", frame="s")  # type: ignore[operator]


TILT = Affine.rotation(10.0) @ Affine.rotation(7.0, axis=(0.0, 1.0, 0.4))


@pytest.mark.parametrize("transform", [Affine.identity(), Affine.rotation(33.0), TILT])
def test_placed_counts_are_all_there_and_channels_alike(transform: Affine) -> None:
    ds = counts()
    placed = fusion.place(ds, grid((30, 36, 38), 0.2), transform=transform, depth=0.5)
    np.testing.assert_allclose(placed["n"].sum(["z", "y", "x"]), ds["n"].sum(["y", "x"]), rtol=1e-10)
    assert placed["n"].attrs["lost_fraction"] == 0.0


def test_what_lies_beyond_the_volume_is_lost_and_said() -> None:
    ds = counts()
    half = fusion.place(ds, grid((9, 40, 40), 0.2), transform=Affine.translation(0.0, 4.0), depth=0.4)
    beyond = float(ds["n"].isel(y=slice(5, None)).sum() / ds["n"].sum())
    assert half["n"].attrs["lost_fraction"] == pytest.approx(beyond, rel=1e-9)


@pytest.mark.parametrize("transform", [Affine.rotation(10.0), TILT])
def test_measuring_consistently_placed_counts_gives_the_map(transform: Affine) -> None:
    ds, volume = counts(n=6), grid((14, 24, 26), 0.16)
    placed = fusion.place(ds, volume, transform=transform, depth=0.3, consistent=True)
    assert float(placed["n"].min()) >= 0
    measured = fusion.measure(placed[["n", "coverage"]], ds, transform=transform, depth=0.3)["n"]
    np.testing.assert_allclose(measured.values, ds["n"].values, atol=1e-6 * float(ds["n"].max()))
    plain = fusion.place(ds, volume, transform=transform, depth=0.3)
    smooth = fusion.measure(plain[["n", "coverage"]], ds, transform=transform, depth=0.3)["n"]
    assert np.abs(smooth.values - ds["n"].values).max() > 1.0
    assert float(smooth.sum()) == pytest.approx(float(ds["n"].sum()))


def test_coarse_voxels_cannot_be_consistent() -> None:
    with pytest.raises(fusion.DataError, match=r"at most 0\.5 pixels of m; those of v are 0\.75"):
        fusion.place(counts(), grid((5, 18, 18), 0.3), depth=0.4, consistent=True)


def test_means_and_labels_are_not_placed_and_labels_not_measured() -> None:
    ds, volume = counts(), grid((5, 18, 18), 0.3)
    mean = ds.assign(n=ds["n"].assign_attrs(cell_methods="y: x: mean"))
    with pytest.raises(fusion.ConventionError, match="n: cell_methods says 'mean', and only counts"):
        fusion.place(mean, volume, depth=0.4)
    labels = volume.assign(
        grey=(("z", "y", "x"), np.ones((5, 18, 18), int), {"flag_values": [1], "flag_meanings": "a"})
    )
    with pytest.raises(fusion.ConventionError, match="labels cannot be measured"):
        fusion.measure(labels, ds, depth=0.4)
    with pytest.raises(fusion.DataError, match=r"fusion\.backproject"):
        fusion.place(ds, volume, depth=np.inf)
