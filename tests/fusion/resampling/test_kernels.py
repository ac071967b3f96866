"""The resampling kernels against scipy, brute force and exact truth."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from fusion.resampling import _kernels

SHAPE = (7, 9, 11)
OUTPUT = (8, 10, 13)
UNIFORM = (None, None, None)


def rotated(degrees=10.0, source=SHAPE, output=OUTPUT):
    """Return the matrix that turns the output grid about the centre of the source."""
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([1, 2, 3]) / np.sqrt(14)).as_matrix()
    centre, target = (np.array(source) - 1) / 2, (np.array(output) - 1) / 2
    return np.column_stack([turn, centre - turn @ target])


def indices(shape):
    return tuple(np.arange(n, dtype=float) for n in shape)


def mapped(matrix, grid):
    """Map every point of the grid, in the order of operations of the kernel."""
    z, y, x = np.meshgrid(*grid, indexing="ij")
    return [m[0] * z + m[1] * y + m[3] + m[2] * x for m in matrix]


def hull(source, positions, half=(0.5, 0.5, 0.5), edge=_kernels.TOLERANCE):
    """Say of every mapped point whether it is inside."""
    inside = np.ones(positions[0].shape, bool)
    for n, h, p in zip(source.shape[:3], half, positions, strict=True):
        inside &= abs(p) <= h if n == 1 else (p >= -edge) & (p <= n - 1 + edge)
    return inside


def run(kernel, source, matrix, grid, **options):
    """Call a kernel on buffers full of rubbish."""
    shape = tuple(axis.size for axis in grid)
    out = np.full((*shape, source.shape[3]), 77, source.dtype)
    inside = np.full(shape, 77, np.uint8)
    kernel(source, np.asarray(matrix, float), grid, out, inside, **options)
    assert set(np.unique(inside)) <= {0, 1}
    return out, inside.astype(bool)


def noise(*shape, dtype="f8", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def brute(source, positions, power=1):
    """Sum the eight corners in plain numpy, every weight raised to a power."""
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight, places = 1.0, []
        for n, p, upper in zip(source.shape, positions, corner, strict=False):
            p = np.zeros_like(p) if n == 1 else np.clip(p, 0, n - 1)
            cell = np.minimum(np.floor(p), max(n - 2, 0))
            weight = weight * (p - cell if upper else 1 - (p - cell))
            places.append(np.minimum(cell.astype(int) + upper, n - 1))
        total = total + weight[..., None] ** power * source[tuple(places)]
    return total


@pytest.mark.parametrize("channels", [1, 3, 8, 20])
@pytest.mark.parametrize(("dtype", "tolerance"), [("f4", 1e-5), ("f8", 1e-12)])
def test_linear_equals_scipy(channels, dtype, tolerance):
    source, matrix, grid = noise(*SHAPE, channels, dtype=dtype), rotated(), indices(OUTPUT)
    out, inside = run(_kernels.linear, source, matrix, grid)
    positions = mapped(matrix, grid)
    assert_array_equal(inside, hull(source, positions))
    assert 0.3 < inside.mean() < 0.9
    for c in range(channels):
        wanted = map_coordinates(source[..., c].astype("f8"), positions, order=1)
        assert_allclose(out[inside, c], wanted[inside], rtol=0, atol=tolerance)
    assert np.isnan(out[~inside]).all()


entries = st.floats(-1.5, 1.5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(entries, min_size=9, max_size=9),
    st.lists(st.floats(-3, 12), min_size=3, max_size=3),
    st.sampled_from([SHAPE, (2, 2, 2), (7, 2, 11)]),
)
def test_a_linear_field_is_exact_under_any_affine(turn, shift, shape):
    z, y, x = np.indices(shape, float)
    field = (100 * z + 10 * y + x)[..., None]
    matrix, grid = np.column_stack([np.reshape(turn, (3, 3)), shift]), indices((4, 5, 9))
    out, inside = run(_kernels.linear, field, matrix, grid, threads=1)
    pz, py, px = positions = mapped(matrix, grid)
    assert_array_equal(inside, hull(field, positions))
    # A point on the tolerated rim takes the value of the edge.
    wanted = 100 * pz.clip(0, shape[0] - 1) + 10 * py.clip(0, shape[1] - 1) + px.clip(0, shape[2] - 1)
    assert_allclose(out[inside, 0], wanted[inside], rtol=0, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(entries, min_size=9, max_size=9),
    st.lists(st.floats(-3, 12), min_size=3, max_size=3),
    st.sampled_from([SHAPE, (1, 9, 11), (7, 1, 11), (7, 9, 1), (1, 1, 1)]),
    st.sampled_from([0.0, 0.7, np.inf]),
    st.booleans(),
)
def test_inside_is_the_brute_force_mask(turn, shift, shape, thickness, backwards):
    matrix = np.column_stack([np.reshape(turn, (3, 3)), shift])
    x = np.sort(np.random.default_rng(0).uniform(-4, 12, 17))
    grid = (np.array([-1.0, 0.0, 4.0]), np.linspace(-2, 9, 6), x[::-1] if backwards else x)
    source, half = noise(*shape, 1), (thickness, 0.4, thickness)
    out, inside = run(_kernels.linear, source, matrix, grid, half=half, threads=1)
    positions = mapped(matrix, grid)
    assert_array_equal(inside, hull(source, positions, half))
    assert_allclose(out[inside], brute(source, positions)[inside], rtol=0, atol=1e-12)
    assert_array_equal(np.isnan(out[..., 0]), ~inside)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("offset", "step"), [(0.0, 1.0), (17.3, 0.1), (-51234.5, 0.0037), (51234.5, 0.0037)])
def test_identity_keeps_everything(dtype, offset, step):
    source = noise(*SHAPE, 3, dtype=dtype)
    source[::2, 1::3, ::4] = np.nan
    source[-1, -1, -1], source[3, 4, 5, 0], source[0, 0, 0, 1] = np.nan, np.inf, -np.inf
    grid = tuple(offset + step * axis for axis in indices(SHAPE))
    matrix = np.column_stack([np.eye(3) / step, np.full(3, -offset / step)])
    out, inside = run(_kernels.linear, source, matrix, grid)
    assert inside.all()
    assert_array_equal(np.isnan(out), np.isnan(source))
    if step == 1:
        assert_array_equal(out, source)
    assert_allclose(out, source, rtol=1e-5, atol=1e-5)


def test_nan_spreads_to_its_neighbours_and_channel_only():
    source, matrix = noise(5, 5, 5, 3), np.column_stack([np.eye(3), np.full(3, 0.5)])
    source[2, 2, 2, 0] = np.nan
    out, inside = run(_kernels.linear, source, matrix, indices((4, 4, 4)))
    assert inside.all()
    assert not np.isnan(out[..., 1]).any()
    assert_array_equal(np.argwhere(np.isnan(out[..., 0])), np.argwhere(np.ones((2, 2, 2))) + 1)


def test_read_only_input_is_taken():
    source, matrix, grid = noise(*SHAPE, 3), rotated(), indices(OUTPUT)
    wanted, _ = run(_kernels.linear, source, matrix, grid)
    for array in (source, matrix, *grid):
        array.flags.writeable = False
    assert_array_equal(run(_kernels.linear, source, matrix, grid)[0], wanted)
    assert_array_equal(run(_kernels.nearest, source, matrix, grid)[1].shape, OUTPUT)


def test_a_map_is_draped_on_a_tilted_slab():
    source, matrix, grid = noise(1, 9, 11, 3), rotated(30, (1, 9, 11), (12, 10, 13)), indices((12, 10, 13))
    half = (1.25, 0.5, 0.5)
    out, inside = run(_kernels.linear, source, matrix, grid, half=half)
    positions = mapped(matrix, grid)
    assert_array_equal(inside, hull(source, positions, half))
    assert 0.05 < inside.mean() < 0.5
    for c in range(3):
        wanted = map_coordinates(source[0, ..., c], positions[1:], order=1)
        assert_allclose(out[inside, c], wanted[inside], rtol=0, atol=1e-12)


def test_uneven_slices_equal_scipy():
    rng = np.random.default_rng(1)
    uneven = np.cumsum(rng.uniform(0.3, 3, SHAPE[0]))
    axes = (uneven, None, 20 + np.cumsum(rng.uniform(0.5, 2, SHAPE[2])))
    source, grid = noise(*SHAPE, 3), indices(OUTPUT)
    matrix = rotated() + np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 20]])
    out, inside = run(_kernels.linear, source, matrix, grid, axes=axes)
    points = np.stack(mapped(matrix, grid), axis=-1)
    coordinates = (uneven, np.arange(SHAPE[1], dtype=float), axes[2])
    wanted = RegularGridInterpolator(coordinates, source, bounds_error=False)(points)
    assert_array_equal(inside, ~np.isnan(wanted[..., 0]))
    assert 0.1 < inside.mean() < 0.9
    assert_allclose(out[inside], wanted[inside], rtol=0, atol=1e-12)


def test_an_uneven_axis_of_one_slice_is_a_slab():
    source, grid = noise(1, 4, 5, 3), (np.array([2.5, 3.0, 3.4, 3.6]), *indices((4, 5)))
    axes, half = (np.array([3.0]), None, np.arange(5.0)), (0.5, 0.5, 0.5)
    out, inside = run(_kernels.linear, source, np.eye(3, 4), grid, axes=axes, half=half)
    assert_array_equal(inside.all(axis=(1, 2)), [True, True, True, False])
    assert_array_equal(out[1], source[0])


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "f4", "f8", "c8", "c16"])
def test_nearest_equals_brute_force(dtype):
    source = (100 * noise(*SHAPE, 2)).astype(dtype)
    matrix, grid = rotated(), indices(OUTPUT)
    out, inside = run(_kernels.nearest, source, matrix, grid, fill=1)
    positions = mapped(matrix, grid)
    places = [np.floor(p + 0.5).astype(int) for p in positions]
    limits = zip(positions, SHAPE, strict=True)
    assert_array_equal(inside, np.all([(p >= -0.5) & (p < n - 0.5) for p, n in limits], axis=0))
    assert_array_equal(out[inside], source[tuple(p[inside] for p in places)])
    assert (out[~inside] == 1).all()
    assert 0.3 < inside.mean() < 0.95


def test_nearest_takes_the_later_pixel_halfway():
    source = np.arange(3, dtype="i4").reshape(1, 1, 3, 1)
    grid = (np.zeros(1), np.zeros(1), np.array([-0.6, -0.5, 0.0, 0.5, 1.5, np.nextafter(2.5, 0), 2.5]))
    out, inside = run(_kernels.nearest, source, np.eye(3, 4), grid, fill=-9)
    assert_array_equal(out.ravel(), [-9, 0, 0, 1, 2, 2, -9])
    assert_array_equal(inside.ravel(), out.ravel() >= 0)


def test_nearest_on_uneven_slices_and_slabs():
    labels = np.arange(4, dtype="u1").reshape(4, 1, 1, 1)
    axes = (np.array([0.0, 1.0, 4.0, 5.0]), None, None)
    grid = (np.array([-0.6, -0.4, 0.6, 2.4, 2.6, 5.4, 5.6]), np.array([0.0, 0.3]), np.zeros(1))
    out, inside = run(_kernels.nearest, labels, np.eye(3, 4), grid, axes=axes, half=(0, 0.2, 0), fill=255)
    assert_array_equal(out[:, 0, 0, 0], [255, 0, 1, 1, 2, 3, 255])
    assert not inside[:, 1].any()


@pytest.mark.parametrize("channels", [1, 20])
def test_variance_takes_squared_weights(channels):
    source, matrix, grid = noise(*SHAPE, channels) ** 2, rotated(), indices(OUTPUT)
    out, inside = run(_kernels.linear, source, matrix, grid, squared=True)
    assert_allclose(out[inside], brute(source, mapped(matrix, grid), 2)[inside], rtol=0, atol=1e-12)
    source[3] = np.nan
    out, inside = run(_kernels.linear, source, np.eye(3, 4), indices(SHAPE), squared=True)
    assert_array_equal(out, source)


@pytest.mark.parametrize("output", [OUTPUT, (1, 60, 7), (30, 1, 7), (1, 1, 500)])
def test_threads_do_not_change_the_result(output):
    source, matrix, grid = noise(*SHAPE, 3), rotated(10, SHAPE, output), indices(output)
    one, three = (run(_kernels.linear, source, matrix, grid, threads=n) for n in (1, 3))
    assert_array_equal(one[0], three[0])
    assert_array_equal(one[1], three[1])


def test_concurrent_calls_agree():
    source, matrix, grid = (
        noise(40, 40, 40, 3, dtype="f4"),
        rotated(10, (40,) * 3, (40,) * 3),
        indices((40,) * 3),
    )
    wanted, _ = run(_kernels.linear, source, matrix, grid, threads=1)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(run, _kernels.linear, source, matrix, grid, threads=1 + n % 3) for n in range(24)]
    for job in jobs:
        assert_array_equal(job.result()[0], wanted)


def test_an_empty_grid_is_no_error():
    for output in [(0, 3, 3), (3, 0, 3), (3, 3, 0)]:
        out, _ = run(_kernels.linear, noise(*SHAPE, 1), np.eye(3, 4), indices(output))
        assert out.size == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"source": np.zeros((*SHAPE, 1), int)}, TypeError, "float32 or float64"),
        ({"source": np.zeros((11, 9, 7, 1)).T}, ValueError, "C-contiguous"),
        ({"source": np.zeros((0, 9, 11, 1))}, ValueError, "non-empty"),
        ({"matrix": np.eye(4)}, ValueError, "matrix"),
        ({"out": np.zeros((*OUTPUT, 2))}, ValueError, "out must"),
        ({"inside": np.zeros(OUTPUT, int)}, ValueError, "inside must"),
        ({"grid": (*indices(OUTPUT[:2]), np.array([0.0, 2, 1] + [3] * 10))}, ValueError, "monotone"),
        ({"axes": (np.arange(3.0), None, None)}, ValueError, "axes must"),
        ({"axes": (np.arange(7.0)[::-1], None, None)}, ValueError, "ascending"),
    ],
)
def test_bad_arguments_are_refused(change, error, message):
    arguments = {
        "source": np.zeros((*SHAPE, 1)),
        "matrix": np.eye(3, 4),
        "grid": indices(OUTPUT),
        "out": np.zeros((*OUTPUT, 1)),
        "inside": np.zeros(OUTPUT, bool),
    }
    with pytest.raises(error, match=message):
        _kernels.linear(**(arguments | change))
