"""fusion.correlation on fields of known smoothness, where a test that counts every pixel fails."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import fusion
from fusion import Axis, DataError
from fusion.model import with_error


def smooth(rng, shape, length):
    """Return a normal random field with a Gaussian covariance of standard deviation `length` pixels, variance 1."""
    wide = [size + 8 * length for size in shape]
    k = np.meshgrid(*(np.fft.fftfreq(size) for size in wide), indexing="ij")
    power = np.exp(-2.0 * (np.pi * length) ** 2 * sum(each**2 for each in k))
    noise = np.fft.fftn(rng.normal(size=wide))
    field = np.fft.ifftn(noise * np.sqrt(power)).real / np.sqrt(power.mean())
    return field[tuple(slice(0, size) for size in shape)]


def on_grid(values):
    coords = {dim: 0.5 * np.arange(size) for dim, size in zip("zyx"[-values.ndim :], values.shape, strict=True)}
    return xr.DataArray(values, coords, dims=tuple(coords), name="map")


def test_r_is_that_of_numpy_and_float_gives_it():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7, 9))
    b[2, 3] = np.nan
    where = on_grid(rng.uniform(size=(7, 9)) > 0.2)
    used = where.values & np.isfinite(b)
    result = fusion.correlation(on_grid(a), on_grid(b), where)
    assert float(result) == pytest.approx(np.corrcoef(a[used], b[used])[0, 1])
    assert result.pixels == used.sum()


def test_the_variance_is_that_of_the_matrices():
    """The traces by FFT are those of P A P B with the very covariances written out."""
    from fusion.statistics import _autocovariance as spatial

    rng = np.random.default_rng(1)
    used = rng.uniform(size=(6, 8)) > 0.25
    x, y = (np.where(used, f - f[used].mean(), 0.0) for f in (smooth(rng, (6, 8), 1), smooth(rng, (6, 8), 2)))
    spectrum = np.fft.rfftn(used.astype(float), (12, 16), axes=(0, 1))
    pairs = np.rint(np.fft.irfftn(np.abs(spectrum) ** 2, (12, 16), axes=(0, 1)))
    at = np.argwhere(used)
    lag = at[:, None, :] - at[None, :, :]
    a, b = (spatial._autocovariance(v, pairs, float(used.sum()))[lag[..., 0] % 12, lag[..., 1] % 16] for v in (x, y))
    centring = np.eye(len(at)) - 1.0 / len(at)
    variance = np.trace(centring @ a @ centring @ b) / (np.trace(centring @ a) * np.trace(centring @ b))
    expected = min(1.0 + 1.0 / variance, len(at)) if variance > 0 else np.nan
    np.testing.assert_allclose(spatial.effective_number(x, y, used), expected, rtol=1e-9)


def test_independent_smooth_maps_are_not_called_correlated():
    """At a covariance of 4 pixels the naive test rejects more than half of independent pairs, this one about 5 %."""
    rng = np.random.default_rng(2)
    naive, ours = [], []
    for _ in range(100):
        a, b = smooth(rng, (60, 72), 4), smooth(rng, (60, 72), 4)
        naive.append(stats.pearsonr(a.ravel(), b.ravel()).pvalue < 0.05)
        ours.append(fusion.correlation(on_grid(a), on_grid(b)).p < 0.05)
    assert np.mean(naive) > 0.5
    assert np.mean(ours) <= 0.12


def test_a_real_correlation_is_seen_and_its_interval_holds_it():
    rng = np.random.default_rng(3)
    held = []
    for _ in range(40):
        shared, own = smooth(rng, (2, 64, 70), 3)[0], smooth(rng, (64, 70), 3)
        result = fusion.correlation(on_grid(shared), on_grid(0.6 * shared + 0.8 * own))
        assert result.p < 0.05
        held.append(result.low < 0.6 < result.high)
    assert np.mean(held) > 0.85


def test_a_field_too_small_is_said_and_not_judged():
    rng = np.random.default_rng(4)
    a, b = smooth(rng, (40, 40), 12), smooth(rng, (40, 40), 12)
    result = fusion.correlation(on_grid(a), on_grid(b))
    assert np.isnan([result.p, result.low, result.high]).all()
    assert result.verdict.startswith("field too small: n_eff = ")
    assert np.isfinite(result.r)


def test_surrogates_agree_with_the_effective_number():
    rng = np.random.default_rng(5)
    a, b = smooth(rng, (48, 56), 3), smooth(rng, (48, 56), 3)
    first = fusion.correlation(on_grid(a), on_grid(b))
    second = fusion.correlation(on_grid(a), on_grid(b), test="surrogate", draws=199, seed=6)
    assert abs(first.p - second.p) < 0.15
    assert second.p == fusion.correlation(on_grid(a), on_grid(b), test="surrogate", draws=199, seed=6).p


def test_noise_is_taken_out_where_its_size_is_known():
    rng = np.random.default_rng(7)
    truth = smooth(rng, (80, 90), 2)
    noise = 0.7
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
    values = {name: (("y", "x"), truth + noise * rng.normal(size=truth.shape)) for name in ("a", "b")}
    ds = fusion.dataset(values, axes, name="two", cell_methods="mean")
    for name in ("a", "b"):
        ds = with_error(ds, name, xr.full_like(ds[name], noise))
    result = fusion.correlation(ds["a"], ds["b"], errors=ds)
    assert result.r == pytest.approx(1.0 / (1.0 + noise**2), abs=0.05)
    assert result.corrected == pytest.approx(1.0, abs=0.05)
    assert np.isnan(fusion.correlation(ds["a"], ds["b"]).corrected)


def test_what_cannot_be_compared_is_refused():
    a = on_grid(np.random.default_rng(8).normal(size=(5, 6)))
    with pytest.raises(DataError, match=r"different grids; fusion\.resample"):
        fusion.correlation(a, a.assign_coords(x=a["x"] + 0.1))
    with pytest.raises(DataError, match="do not vary"):
        fusion.correlation(a, xr.zeros_like(a))
    with pytest.raises(DataError, match="not uniform"):
        fusion.correlation(*(each.assign_coords(x=[0.0, 1.0, 3.0, 4.0, 5.0, 9.0]) for each in (a, a + 1.0)))
    with pytest.raises(DataError, match="accepted are 'effective', 'surrogate', 'none'"):
        fusion.correlation(a, a, test="naive")


def placed(values, pose=None):
    axes = {dim: Axis("um", 1.0) for dim in "yx"}
    ds = fusion.dataset({"map": (("y", "x"), values)}, axes, name="map", cell_methods="mean")
    return ds["map"] if pose is None else fusion.set_pose(ds, pose, "stage")["map"]


def off_by(sigma):
    covariance = np.zeros((12, 12))
    covariance[[7, 11], [7, 11]] = sigma**2
    return fusion.Affine(np.eye(4), covariance=covariance)


def test_the_interval_holds_the_correlation_of_maps_that_a_registration_puts_beside_each_other():
    """Three pixels off, an interval of the pixels alone misses it more often than not."""
    rng = np.random.default_rng(10)
    alone, ours = [], []
    for n in range(8):
        shared, own = smooth(rng, (52, 58), 3), smooth(rng, (52, 58), 3)
        dy, dx = np.clip(np.rint(rng.normal(scale=3.0, size=2)), -6, 6).astype(int)
        first, second = shared[6:-6, 6:-6], (0.6 * shared + 0.8 * own)[6 + dy : 46 + dy, 6 + dx : 52 + dx]
        result = fusion.correlation(placed(first), placed(second))
        alone.append(result.low < 0.6 < result.high)
        result = fusion.correlation(placed(first), placed(second), transform=off_by(3.0), seed=n)
        ours.append(result.low < 0.6 < result.high)
    assert np.mean(alone) < 0.7
    assert np.mean(ours) > 0.85


def test_the_poses_say_where_two_maps_lie_and_how_sure_that_is():
    rng = np.random.default_rng(11)
    field = smooth(rng, (60, 70), 3)
    first = placed(field[:, 5:-5], fusion.Affine.translation(x=5.0))
    exact = fusion.correlation(first, placed(field, fusion.Affine.identity()))
    assert exact.r == pytest.approx(1.0)
    unsure = fusion.correlation(first, placed(field, off_by(3.0)))
    assert (unsure.r, unsure.p) == pytest.approx((exact.r, exact.p))
    assert unsure.low < 0.5 < exact.low
    assert unsure.high == pytest.approx(exact.high)
    unknown = fusion.correlation(first, placed(field), transform=fusion.Affine(np.eye(4)))
    assert np.isnan([unknown.low, unknown.high]).all()
    assert "error of the position unknown" in unknown.verdict
    with pytest.raises(DataError, match=r"fusion\.resample carries them onto one"):
        fusion.correlation(first, placed(field, off_by(3.0)), errors=xr.Dataset())


def test_r_alone_needs_no_effective_number(monkeypatch):
    from fusion.statistics import _autocovariance as spatial

    monkeypatch.setattr(spatial, "effective_number", lambda *_: pytest.fail("computed"))
    a = on_grid(np.random.default_rng(9).normal(size=(5, 6)))
    result = fusion.correlation(a, a, test="none")
    assert (result.verdict, np.isnan(result.n_effective)) == ("r = 1.00, not tested", True)
