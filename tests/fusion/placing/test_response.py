"""What a probe sees: counts at the depths they come from, below a surface, in any pose, with their errors."""

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis, Response

TILT = Affine.translation(0.3, 0.0, 0.0) @ Affine.rotation(9.0) @ Affine.rotation(6.0, axis=(0.0, 1.0, 0.3))


def counts(n: int = 6, pixel: float = 0.4) -> xr.Dataset:
    values = np.random.default_rng(0).poisson(30.0, (n, n + 1)).astype(float)
    axes = {dim: Axis("um", pixel, -pixel * (m - 1) / 2) for dim, m in (("y", n), ("x", n + 1))}
    variables = {"n": (("y", "x"), values, {"ancillary_variables": "n_stderr"}), "n_stderr": (("y", "x"), values**0.5)}
    return fusion.dataset(variables, axes, name="m", cell_methods="sum", frame="s")


def volume(step: float = 0.1, nz: int = 30, ny: int = 34, nx: int = 36) -> xr.Dataset:
    """Return a volume whose values are its depth, from a little above the map downwards."""
    starts = {"z": -0.45, "y": -step * (ny - 1) / 2, "x": -step * (nx - 1) / 2}
    axes = {dim: Axis("um", step, start) for dim, start in starts.items()}
    z = np.broadcast_to((-0.45 + step * np.arange(nz))[:, None, None], (nz, ny, nx))
    return fusion.dataset({"z_of": (tuple("zyx"), z.copy())}, axes, name="v", cell_methods="mean", frame="s")


RESPONSES = {
    "flat": Response.flat(0.6),
    "profile": Response.profile([0.0, 0.3, 0.9], [1.0, 2.0, 0.0]),
    "xrays": Response.xrays(beam=12.0, line=1.84, density=2.33),
}


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("transform", [Affine.identity(), TILT])
def test_counts_lie_at_the_depth_they_come_from_and_are_all_there(name: str, transform: Affine) -> None:
    ds, response = counts(), RESPONSES[name]
    placed = fusion.place(ds, volume(), transform=transform, response=response)
    assert float(placed["n"].sum()) == pytest.approx(float(ds["n"].sum()), rel=1e-10)
    assert placed["n"].attrs["lost_fraction"] == 0.0
    values = placed["n"].fillna(0.0)
    position = np.stack([float((values * placed[dim]).sum() / values.sum()) for dim in "zyx"])
    map_middle = [float((ds["n"] * ds[dim]).sum() / ds["n"].sum()) for dim in "yx"]
    np.testing.assert_allclose(position, transform([response.mean_depth, *map_middle]), atol=2e-3)


def test_the_profile_is_found_in_the_volume_layer_by_layer() -> None:
    placed = fusion.place(counts(), volume(), response=Response.profile([0.0, 1.0], [1.0, 1.0]))["n"]
    along = placed.sum(["y", "x"]) / placed.sum()
    inside = (along["z"] > 0.0) & (along["z"] < 1.0)
    np.testing.assert_allclose(along.where(inside, drop=True), 0.1, rtol=1e-9)
    np.testing.assert_allclose(along.where(~inside, drop=True), 0.0, atol=1e-12)


def test_errors_are_those_of_placed_noise_whose_layers_share_it() -> None:
    ds, rng = counts(), np.random.default_rng(1)
    noise = rng.normal(size=(*ds["n"].shape, 3000)) * ds["n_stderr"].values[..., None]
    draws = ds.drop_vars("n_stderr").assign(
        n=(("y", "x", "channel"), noise, {"cell_methods": "y: x: sum", "units": "count"})
    )
    draws = draws.assign_coords(channel=np.arange(3000))
    coarse = volume(0.5, 6, 7, 8)
    spread = fusion.place(draws, coarse, transform=TILT, response=RESPONSES["profile"])["n"].std("channel").values
    found = fusion.place(ds, coarse, transform=TILT, response=RESPONSES["profile"])["n_stderr"].values
    known = found > 0.1
    assert known.sum() > 20
    np.testing.assert_allclose(spread[known], found[known], rtol=0.12)


def test_counts_follow_a_surface_and_a_probe_that_looks_up() -> None:
    ds = counts()
    slope = xr.DataArray(0.3 + 0.2 * np.linspace(-2, 2, 41)[None, :] * np.ones((41, 1)), dims=("y", "x"),
                         coords={"y": np.linspace(-2, 2, 41), "x": np.linspace(-2, 2, 41)})  # fmt: skip
    placed = fusion.place(ds, volume(), response=Response.flat(0.2).on(slope))["n"].fillna(0.0)
    depth = (placed * placed["z"]).sum(["z", "y"]) / placed.sum(["z", "y"])
    inner = depth.sel(x=slice(-1.0, 1.0))
    np.testing.assert_allclose(inner, 0.3 + 0.2 * np.round(inner["x"] / 0.4) * 0.4 + 0.1, atol=1e-6)
    up = fusion.place(ds, volume(), response=Response.flat(0.2, direction=-1).on(slope))["n"].fillna(0.0)
    assert float((up * up["z"]).sum() / up.sum()) == pytest.approx(
        float((placed * placed["z"]).sum() / placed.sum()) - 0.2, abs=1e-9
    )
    with pytest.raises(fusion.DataError, match="not known under 21 of 42 pixels"):
        fusion.place(ds, volume(), response=Response.flat(0.2).on(slope.sel(y=slice(0.0, 2.0))))


@pytest.mark.parametrize("name", RESPONSES)
def test_measuring_sees_the_mean_depth_and_is_the_adjoint_of_placing(name: str) -> None:
    ds, response = counts(), RESPONSES[name]
    seen = fusion.measure(volume(), ds, response=response)["z_of"]
    np.testing.assert_allclose(seen, response.mean_depth, atol=2e-3)
    u = np.random.default_rng(2).normal(size=volume()["z_of"].shape)
    weighted = volume().assign(z_of=(tuple("zyx"), u, volume()["z_of"].attrs))
    placed = fusion.place(ds, weighted, transform=TILT, response=response)["n"].fillna(0.0)
    measured = fusion.measure(weighted, ds, transform=TILT, response=response)["z_of"]
    assert float((placed * u).sum()) == pytest.approx(float((ds["n"] * measured).sum()), rel=1e-10, abs=1e-9)


def test_counts_from_beyond_the_volume_are_lost() -> None:
    half = fusion.place(counts(), volume(nz=7), response=Response.flat(0.4))  # its lower face lies at 0.2 um
    assert half["n"].attrs["lost_fraction"] == pytest.approx(0.5, abs=1e-9)


def test_ranges_and_responses_are_those_of_their_sources() -> None:
    assert Response.electrons(20.0, 2.33).edges[-1] == pytest.approx(0.0398 * 20**1.75 / 2.33)
    assert Response.xrays(15.0, 7.112, 7.87).edges[-1] == pytest.approx(0.5496, abs=1e-4)
    confocal = Response.confocal(0.532, 0.9)
    assert confocal.mean_depth == pytest.approx(0.0, abs=1e-12)
    inner = np.interp([0.25, 0.75], np.cumsum([0, *confocal.shares]), confocal.edges)
    assert 0.1 < inner[1] - inner[0] < 0.5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Response.flat(-1.0), "depth is a positive number; received -1.0"),
        (lambda: Response.profile([0.0, 1.0], [1.0, -1.0]), "not negative"),
        (lambda: Response.profile([1.0, 0.5], [1.0, 1.0]), "ascend"),
        (lambda: Response.profile([0.0, 1.0], [1.0]), "each with a value"),
        (lambda: Response.xrays(10.0, 12.0, 5.0), "excites no line"),
        (lambda: Response.confocal(0.5, 1.2), "needs an index above it"),
        (lambda: fusion.place(counts(), volume(), depth=0.1, response=Response.flat(0.1)), "leave out depth="),
    ],
)
def test_what_is_no_response_is_refused(make: object, words: str) -> None:
    with pytest.raises(fusion.DataError, match=words):
        make()  # type: ignore[operator]
