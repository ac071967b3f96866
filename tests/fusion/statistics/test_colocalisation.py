"""fusion.colocalisation on smooth channels that share light, and on such that do not."""

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

import fusion
import volumes
from fusion import DataError


def channel(values, name="channel"):
    coords = {dim: np.arange(float(size)) for dim, size in zip("zyx"[-values.ndim :], values.shape, strict=True)}
    return xr.DataArray(values, coords, dims=tuple(coords), name=name)


def spots(rng, shape=(90, 80), width=2):
    wide = [size + 8 * width for size in shape]
    field = gaussian_filter(rng.normal(size=wide), width)[4 * width : -4 * width, 4 * width : -4 * width]
    return np.clip(field / field.std() - 1.0, 0.0, None) ** 2


def test_the_coefficients_are_manders():
    """Σ of the light above its threshold where the other is above its own, over Σ of that light."""
    rng = np.random.default_rng(0)
    a, b = rng.gamma(1.0, size=(2, 5, 9, 11))
    b[2, 3, 4] = np.nan
    seen = np.isfinite(b)
    found = fusion.colocalisation(channel(a), channel(b), thresholds=(0.5, 0.7))
    both = seen & (a > 0.5) & (b > 0.7)
    assert found.first.share == pytest.approx(a[both].sum() / a[seen & (a > 0.5)].sum())
    assert found.second.share == pytest.approx(b[both].sum() / b[b > 0.7].sum())
    assert found.first.by_chance == pytest.approx((b[seen] > 0.7).mean())
    assert found.correlation.verdict == fusion.correlation(channel(a), channel(b)).verdict


def test_independent_channels_are_not_called_colocalised():
    """Shuffled pixels, as Costes has them, call a third of these smooth pairs significant."""
    rng = np.random.default_rng(1)
    ours, costes, shuffled = [], [], []
    for _ in range(40):
        a, b = spots(rng, width=4), spots(rng, width=4)
        found = fusion.colocalisation(channel(a), channel(b), thresholds=(0.2, 0.2))
        ours.append([found.first.p < 0.05, found.second.p < 0.05])
        costes.append(fusion.colocalisation(channel(a), channel(b)).verdict.startswith("colocalised"))
        bright, light = b.ravel() > 0.2, np.where(a > 0.2, a, 0.0).ravel()
        chance = [light[rng.permutation(bright)].sum() for _ in range(59)]
        shuffled.append(sum(each >= light[bright].sum() for each in chance) < 3)
    assert np.mean(ours) <= 0.12
    assert np.mean(costes) <= 0.12
    assert np.mean(shuffled) > 0.25


def test_the_interval_holds_the_share_of_many_fields():
    rng = np.random.default_rng(2)
    sums, intervals = np.zeros(2), []
    for _ in range(40):
        shared, first, second = (spots(rng) for _ in range(3))
        a, b = shared + first, shared + second
        found = fusion.colocalisation(channel(a), channel(b), thresholds=(0.2, 0.2)).first
        intervals.append((found.low, found.high))
        sums += a[(a > 0.2) & (b > 0.2)].sum(), a[a > 0.2].sum()
    low, high = np.transpose(intervals)
    truth = sums[0] / sums[1]
    assert np.mean((low < truth) & (truth < high)) > 0.85
    assert np.mean(high - low) < 0.4


def test_shared_light_is_seen_and_thresholds_are_found():
    rng = np.random.default_rng(3)
    shared, noise = spots(rng), rng.uniform(0.0, 0.3, size=(2, 90, 80))
    a, b = channel(shared + noise[0]), channel(2 * shared + noise[1])
    found = fusion.colocalisation(a, b, test="surrogate", draws=99)
    assert (found.first.p, found.second.p) == (0.01, 0.01)
    assert found.verdict.startswith("colocalised: M1 = ")
    below = ((a < found.thresholds[0]) | (b < found.thresholds[1])).values
    assert abs(np.corrcoef(a.values[below], b.values[below])[0, 1]) < 0.02
    assert abs(np.corrcoef(a.values[~below], b.values[~below])[0, 1]) > 0.9
    apart = fusion.colocalisation(a, channel(shared.max() - shared), thresholds=(0.4, float(shared.max()) - 0.2))
    assert apart.verdict.startswith("apart: M1 = 0.0")


def test_channels_without_correlation_have_no_thresholds_of_costes():
    rng = np.random.default_rng(4)
    found = fusion.colocalisation(channel(rng.gamma(1.0, size=(30, 40))), channel(rng.gamma(1.0, size=(30, 40))))
    assert np.isnan([found.first.share, found.second.p, *found.thresholds]).all()
    assert found.verdict.startswith("no thresholds of Costes, which need a correlation; give thresholds=")


def test_a_small_field_has_no_p():
    a, b = (channel(values.astype(float)) for values in np.indices((40, 40)))
    found = fusion.colocalisation(a, b, thresholds=(20.0, 20.0))
    assert np.isnan([found.first.p, found.first.low, found.second.high]).all()
    assert found.verdict.startswith("field too small")


def test_what_is_no_light_is_refused():
    a = channel(spots(np.random.default_rng(6)))
    with pytest.raises(DataError, match="light is not negative"):
        fusion.colocalisation(a - 1.0, a)
    with pytest.raises(DataError, match="no pixel lies above the threshold 1e\\+09"):
        fusion.colocalisation(a, a, thresholds=(1e9, 1.0))
    with pytest.raises(DataError, match="every pixel lies above the threshold -1"):
        fusion.colocalisation(a, a, thresholds=(0.1, -1.0))
    axes = {dim: fusion.Axis("um", 1.0) for dim in "yx"}
    ds = fusion.dataset({"red": (("y", "x"), a.values)}, axes, name="cell", cell_methods="mean")
    placed = [fusion.set_pose(ds, fusion.Affine.translation(x=x), "stage")["red"] for x in (0.0, 1.0)]
    with pytest.raises(DataError, match=r"apart by their poses; fusion\.resample"):
        fusion.colocalisation(*placed)


def test_a_measured_pair(measured):
    """Two dyes of one cell; the section with most light is tested, the stack takes twenty seconds."""
    red, green = (
        volumes.open(measured(f"confocal/colocsample1b-{name}.tif"))["image"].isel(z=12).astype(float)
        for name in ("red", "green")
    )
    found = fusion.colocalisation(red, green)
    assert 0.6 < found.first.share < 0.95
    assert found.first.low > found.first.by_chance
    assert found.verdict.startswith("colocalised")
