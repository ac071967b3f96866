"""Coding of values for a page: what comes back, and by how much it may differ."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from volumes.viewer import _planes

VALUES = st.one_of(st.floats(-10.0, 1e4), st.just(np.nan))


@settings(max_examples=60, deadline=None)
@given(values=arrays(np.float64, (3, 4, 5), elements=VALUES), exact=st.booleans())
def test_values_come_back_within_half_a_code(values, exact):
    plane = _planes.coded(values, exact=exact)
    back = _planes.decoded(plane)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    root = np.sqrt(np.clip((values - plane.bottom) / plane.top, 0.0, None))
    half = 0.5 / (_planes.STEPS * (256 if exact else 1))
    allowed = plane.top * (2 * root * half + half**2) + 1e-9 * plane.top
    known = ~np.isnan(values)
    assert (np.abs(back - values)[known] <= allowed[known]).all()


@settings(max_examples=60, deadline=None)
@given(errors=arrays(np.float64, (3, 4, 5), elements=st.sampled_from([0.0, 0.3, 1.7, 20.0, 500.0, np.inf, np.nan])))
def test_errors_come_back_within_a_share_of_themselves(errors):
    plane = _planes.coded_errors(errors)
    back = _planes.decoded_errors(plane)
    special = ~np.isfinite(errors) | (errors == 0.0)
    np.testing.assert_array_equal(back[special], errors[special])
    np.testing.assert_allclose(back[~special], errors[~special], rtol=np.sqrt(plane.ratio) - 1 + 1e-9)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 9), (5, 7, 9)])
def test_a_packed_plane_unpacks(shape):
    plane = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    back, text = _planes.packed(plane)
    flat = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).copy()
    for i in range(back, flat.size if back else 0):
        flat[i] = (int(flat[i]) + int(flat[i - back])) % 256
    np.testing.assert_array_equal(flat, plane.ravel())


def test_smooth_planes_are_packed_by_their_differences():
    smooth = np.arange(40 * 50, dtype=np.uint64).reshape(1, 40, 50).astype(np.uint8)
    assert _planes.packed(smooth)[0] > 0


def test_block_means_know_what_is_missing():
    values = np.arange(30.0).reshape(2, 3, 5)
    values[0, 0, 0] = np.nan
    means = _planes.block_means(values, (1, 2, 2))
    assert means.shape == (2, 2, 3)
    assert means[0, 0, 0] == np.mean([1.0, 5.0, 6.0])
    assert means[1, 1, 2] == 29.0
    assert np.isnan(_planes.block_means(np.full((2, 2), np.nan), (2, 2))).all()
