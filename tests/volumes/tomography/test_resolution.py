"""A known blur is found, noise has no detail, and each direction has its own curve."""

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import DataError, UnitError


def volume_of(values, steps, unit="um"):
    dims = "zyx"[-values.ndim :]
    axes = {dim: fusion.Axis(unit, step) for dim, step in zip(dims, steps, strict=True)}
    return fusion.dataset({"v": (tuple(dims), values)}, axes, name="v")["v"]


def pair(shape, steps, sigma, noise, seed):
    """Return two noisy versions of white noise that is blurred by Gaussians of widths `sigma` along the axes."""
    rng = np.random.default_rng(seed)
    f = np.meshgrid(*(np.fft.fftfreq(n, s) for n, s in zip(shape, steps, strict=True)), indexing="ij")
    transfer = np.exp(-2 * np.pi**2 * sum((w * each) ** 2 for w, each in zip(sigma, f, strict=True)))
    signal = np.fft.ifftn(np.fft.fftn(rng.normal(size=shape)) * transfer).real
    return [volume_of(signal + noise * rng.normal(size=shape), steps) for _ in "ab"]


# With the transfer exp(-2 pi² sigma² f²) and noise n the correlation is 1 / (1 + n² exp(4 pi² sigma² f²)), which is 1/7
# at f = sqrt(log(6 / n²)) / (2 pi sigma).
def one_seventh(sigma, noise):
    return 2 * np.pi * sigma / np.sqrt(np.log(6 / noise**2))


@pytest.mark.parametrize(
    ("shape", "steps", "runs"), [((96, 128), (0.01, 0.01), 12), ((40, 64, 48), (0.02, 0.01, 0.015), 3)]
)
def test_a_known_blur_is_found(shape, steps, runs):
    truth = one_seventh(0.025, 0.1)
    found = [
        volumes.resolution(*pair(shape, steps, [0.025] * len(shape), 0.1, k), criterion="1/7") for k in range(runs)
    ]
    assert np.mean([float(each["resolution"]) for each in found]) == pytest.approx(truth, rel=0.05)
    assert all(abs(float(each["resolution"]) / truth - 1) < 0.15 for each in found)
    held = np.mean([each["resolution_low"] <= truth <= each["resolution_high"] for each in found])
    assert held >= 0.6


def test_each_direction_has_its_own_resolution():
    sigma = (0.06, 0.03, 0.02)
    found = volumes.resolution(*pair((64, 64, 64), (0.01,) * 3, sigma, 0.1, 0), criterion="1/7")
    assert list(found["axis"].values) == ["z", "y", "x"]
    along = found["resolution_along"].values
    assert along[0] > 1.5 * along[1] > along[2]
    # the cone of 30 degrees holds frequencies that are blurred less than those on the axis
    assert along[0] == pytest.approx(one_seventh(0.06, 0.1), rel=0.25)


@pytest.mark.parametrize("shape", [(128, 100), (40, 40, 40)])
def test_noise_stays_below_half_a_bit(shape):
    rng = np.random.default_rng(0)
    below = []
    for _ in range(5):
        a, b = (volume_of(rng.normal(size=shape), (0.01,) * len(shape)) for _ in "ab")
        found = volumes.resolution(a, b)
        below.append((found["correlation"] < found["half_bit"]).values)
        assert found.attrs["verdict"] == "no detail in common"
        assert np.isinf(found["resolution"])
    assert np.mean(below) > 0.95


def test_the_standard_error_is_the_scatter_of_noise():
    rng = np.random.default_rng(1)
    runs = [volumes.resolution(*(volume_of(rng.normal(size=(64, 64)), (0.01, 0.01)) for _ in "ab")) for _ in range(60)]
    scatter = np.std([run["correlation"].values for run in runs], axis=0)[3:]
    claimed = np.mean([run["correlation_stderr"].values for run in runs], axis=0)[3:]
    assert np.mean(scatter / claimed) == pytest.approx(1.0, abs=0.1)


def test_what_is_equal_is_finer_than_the_last_shell():
    a = volume_of(np.random.default_rng(0).normal(size=(32, 32)), (0.01, 0.01))
    found = volumes.resolution(a, a)
    assert np.isnan(found["resolution"])
    assert float(found["resolution_high"]) == pytest.approx(0.02)
    assert found.attrs["verdict"].startswith("finer than 0.02 um")


def test_what_has_no_resolution_is_refused():
    a = volume_of(np.random.default_rng(0).normal(size=(32, 32)), (0.01, 0.01))
    with pytest.raises(DataError, match="different grids"):
        volumes.resolution(a, a.isel(x=slice(20)))
    with pytest.raises(DataError, match="at least 16"):
        volumes.resolution(a.isel(x=slice(8)), a.isel(x=slice(8)))
    with pytest.raises(DataError, match="do not vary"):
        volumes.resolution(a * 0, a)
    with pytest.raises(UnitError, match="set_pixel_size"):
        volumes.resolution(*[volume_of(a.values, (1.0, 1.0), "px")] * 2)
    with pytest.raises(DataError, match="criterion is one of"):
        volumes.resolution(a, a, criterion="0.5")


def test_a_mask_leaves_the_rest_out():
    a, b = pair((64, 64), (0.01, 0.01), (0.02, 0.02), 0.1, 0)
    y, x = np.meshgrid(*(np.arange(64) - 31.5,) * 2, indexing="ij")
    soft = a.copy(data=np.clip((28 - np.hypot(y, x)) / 6, 0, 1))
    spoiled = b.where(np.hypot(y, x) < 29, 100.0)
    masked = volumes.resolution(a, spoiled, mask=soft, criterion="1/7")
    assert float(masked["resolution"]) == pytest.approx(one_seventh(0.02, 0.1), rel=0.15)
    assert masked["independent"].sum() < volumes.resolution(a, b)["independent"].sum()
