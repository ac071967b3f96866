"""Transforms and poses against plain linear algebra and Monte Carlo."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import fusion
from fusion import Affine
from fusion.affine import skew

entries = st.floats(-2.0, 2.0, allow_nan=False, allow_subnormal=False)
places = st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 3), min_size=1, max_size=5).map(np.array)


@st.composite
def affines(draw: st.DrawFn) -> Affine:
    """Draw transforms that are far from flattening space."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(draw(st.lists(entries, min_size=9, max_size=9))).reshape(3, 3)
    matrix[:3, :3] += 7.0 * np.eye(3)
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-100.0, 100.0)] * 3))
    return Affine(matrix)


def with_covariance(seed: int, scale: float = 1e-3) -> Affine:
    """Return a general transform with a full, anisotropic, correlated covariance."""
    rng = np.random.default_rng(seed)
    root = scale * rng.normal(size=(12, 12))
    matrix = (Affine.translation(3.0, -5.0, 2.0) @ Affine.rotation(40.0, axis=(1.0, 0.5, -0.3))).matrix.copy()
    matrix[:3, :3] += 0.1 * rng.normal(size=(3, 3))
    return Affine(matrix, covariance=root @ root.T)


def drawn(transform: Affine, seed: int, count: int = 20_000) -> np.ndarray:
    """Return matrices scattered by the covariance of a transform."""
    rng = np.random.default_rng(seed)
    matrices = np.tile(np.eye(4), (count, 1, 1))
    rows = rng.multivariate_normal(transform.matrix[:3].ravel(), transform.covariance, size=count)
    matrices[:, :3] = rows.reshape(count, 3, 4)
    return matrices


def assert_same_spread(found: np.ndarray | None, sampled: np.ndarray) -> None:
    """Compare covariances entry by entry, in units of the standard deviations they join."""
    assert found is not None
    width = np.sqrt(np.diag(found))
    np.testing.assert_allclose(np.cov(sampled.T) / np.outer(width, width), found / np.outer(width, width), atol=0.05)


def upper(matrices: np.ndarray) -> np.ndarray:
    return matrices[:, :3].reshape(len(matrices), 12)


@given(affines(), affines(), places)
def test_composition_applies_the_right_one_first(outer: Affine, inner: Affine, points: np.ndarray) -> None:
    np.testing.assert_allclose((outer @ inner).matrix, outer.matrix @ inner.matrix, rtol=1e-14)
    np.testing.assert_allclose((outer @ inner)(points), outer(inner(points)), rtol=1e-9, atol=1e-7)


@given(affines(), places)
def test_points_are_mapped_as_column_vectors(transform: Affine, points: np.ndarray) -> None:
    expected = [(transform.matrix @ [*point, 1.0])[:3] for point in points]
    np.testing.assert_allclose(transform(points), expected, rtol=1e-12, atol=1e-9)


@given(affines(), places)
def test_the_inverse_leads_back(transform: Affine, points: np.ndarray) -> None:
    np.testing.assert_allclose(transform.inverse().matrix, np.linalg.inv(transform.matrix), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(transform.inverse()(transform(points)), points, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 5, 3), (0, 3)])
def test_any_shape_of_points_is_kept(shape: tuple[int, ...]) -> None:
    assert Affine.translation(1.0)(np.zeros(shape)).shape == shape


def test_lists_and_integers_are_points_too() -> None:
    np.testing.assert_array_equal(Affine.translation(0.5, 1.5, 2.5)([1, 2, 3]), [1.5, 3.5, 5.5])


@pytest.mark.parametrize(
    ("axis", "start", "end"),
    [((1, 0, 0), (0, 0, 1), (0, 1, 0)), ((0, 1, 0), (1, 0, 0), (0, 0, 1)), ((0, 0, 1), (0, 1, 0), (1, 0, 0))],
    ids=["x towards y about z", "z towards x about y", "y towards z about x"],
)
def test_a_quarter_turn_is_right_handed(axis: tuple, start: tuple, end: tuple) -> None:
    np.testing.assert_allclose(Affine.rotation(90.0, axis=axis)(start), end, atol=1e-15)


def test_thirty_degrees_about_z_by_trigonometry() -> None:
    z, y, x = Affine.rotation(30.0)([5.0, 0.0, 2.0])
    assert (z, y, x) == pytest.approx((5.0, 2.0 * 0.5, 2.0 * np.sqrt(3) / 2))


@given(st.floats(0.1, 179.0), st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1))
def test_a_rotation_keeps_lengths_its_axis_and_its_angle(angle: float, axis: tuple) -> None:
    turn = Affine.rotation(angle, axis=axis)
    np.testing.assert_allclose(turn.matrix[:3, :3] @ turn.matrix[:3, :3].T, np.eye(3), atol=1e-14)
    assert np.linalg.det(turn.matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(turn(axis), axis, atol=1e-14)
    assert turn.angle == pytest.approx(angle, abs=1e-6)


def test_the_cross_product_is_the_one_of_x_y_z() -> None:
    a, b = np.array([1.0, -2.0, 0.5]), np.array([0.3, 4.0, -1.0])
    np.testing.assert_allclose(skew(a) @ b, np.cross(a[::-1], b[::-1])[::-1])


def test_scale_and_angle_describe_the_transform() -> None:
    transform = Affine.rotation(25.0, axis=(1, 1, 0)) @ Affine.scaling(2.0, 0.5, 3.0)
    np.testing.assert_allclose(transform.scale, [3.0, 2.0, 0.5])
    assert (Affine.translation(9.0) @ Affine.rotation(25.0) @ Affine.scaling(2, 2, 2)).angle == pytest.approx(25.0)
    assert "angle 25 degrees" in repr(Affine.rotation(25.0))


def test_covariance_of_the_inverse_is_that_of_inverted_draws() -> None:
    transform = with_covariance(0)
    assert_same_spread(transform.inverse().covariance, upper(np.linalg.inv(drawn(transform, 1))))


def test_covariance_of_a_chain_is_that_of_composed_draws() -> None:
    outer, inner = with_covariance(2), with_covariance(3)
    assert_same_spread((outer @ inner).covariance, upper(drawn(outer, 4) @ drawn(inner, 5)))


@pytest.mark.parametrize("which", ["outer", "inner"])
def test_covariance_of_one_link_alone_passes_through_the_chain(which: str) -> None:
    exact, vague = Affine.exact(with_covariance(6).matrix), with_covariance(7)
    chain = vague @ exact if which == "outer" else exact @ vague
    draws = drawn(vague, 8) @ exact.matrix if which == "outer" else exact.matrix @ drawn(vague, 8)
    assert_same_spread(chain.covariance, upper(draws))
    assert not (exact @ exact).covariance.any()


def test_what_is_unknown_stays_unknown_in_a_chain() -> None:
    unknown, vague = Affine(with_covariance(6).matrix), with_covariance(7)
    for chain in (unknown @ vague, vague @ unknown, unknown.inverse(), Affine.translation(1.0) @ unknown):
        assert chain.covariance is None
    with pytest.raises(fusion.FrameError, match="no covariance"):
        (vague @ unknown).covariance_at([0.0, 0.0, 0.0])


def test_degrees_of_freedom_travel_along_a_chain() -> None:
    vague = with_covariance(7)
    estimated = Affine(vague.matrix, covariance=vague.covariance, dof=5.0)
    assert (estimated @ Affine.rotation(30.0)).dof == pytest.approx(5.0)
    assert estimated.inverse().dof == 5.0
    assert (Affine.translation(1.0) @ vague).dof == np.inf
    turned = Affine(vague.matrix, covariance=9.0 * np.asarray(vague.covariance))
    assert (turned @ estimated).dof > 5.0
    same = Affine(np.eye(4), covariance=vague.covariance, dof=5.0)
    # two equal estimates of one number each have the degrees of freedom of both
    assert (same @ same).dof == pytest.approx(10.0, rel=0.05)
    with pytest.raises(fusion.FrameError, match="degrees of freedom"):
        Affine(np.eye(4), covariance=vague.covariance, dof=0.0)


@pytest.mark.parametrize("seed", range(5))
def test_degrees_of_freedom_survive_a_rotation_there_and_back(seed: int) -> None:
    """Of landmarks in a plane z is exact, and after rotations known to rounding."""
    rng = np.random.default_rng(seed)
    marks = rng.uniform(0.0, 100.0, (6, 2))
    found = fusion.register_landmarks(marks, marks + rng.normal(size=(6, 2)), model="similarity").transform
    stage = Affine.translation(*rng.uniform(-5e3, 5e3, 3)) @ Affine.rotation(180.0, axis=(0.0, 0.0, 1.0))
    stage = stage @ Affine.rotation(rng.uniform(0.0, 54.0), axis=rng.normal(size=3))
    assert (stage.inverse() @ (stage @ found)).dof == pytest.approx(found.dof, rel=0.02)


def test_a_lower_bound_stays_one_along_a_chain() -> None:
    vague = with_covariance(7)
    least = Affine(vague.matrix, covariance=vague.covariance, lower_bound=True)
    for chain in (least @ vague, vague @ least, least.inverse(), fusion.combine(least, vague)):
        assert chain.lower_bound
    assert not (vague @ vague).lower_bound


def test_covariance_at_a_point_is_that_of_where_draws_land() -> None:
    transform, probe = with_covariance(9), np.array([[2.0, -30.0, 11.0], [0.0, 0.0, 0.0]])
    landed = np.einsum("nij,pj->npi", drawn(transform, 10)[:, :3], np.pad(probe, ((0, 0), (0, 1)), constant_values=1))
    found = transform.covariance_at(probe)
    assert found.shape == (2, 3, 3)
    for index in range(2):
        assert_same_spread(found[index], landed[:, index])
        np.testing.assert_allclose(transform.covariance_at(probe[index]), found[index], rtol=1e-12)


def test_the_inverse_of_the_inverse_has_the_first_covariance() -> None:
    transform = with_covariance(11)
    np.testing.assert_allclose(transform.inverse().inverse().covariance, transform.covariance, rtol=1e-8, atol=1e-14)


def test_a_transform_cannot_be_changed_and_keeps_no_handle_on_its_input() -> None:
    matrix, covariance = np.eye(4), np.eye(12)
    transform = Affine(matrix, covariance=covariance)
    matrix[0, 0] = covariance[0, 0] = 5.0
    assert transform.matrix[0, 0] == transform.covariance[0, 0] == 1.0  # type: ignore[index]
    for array in (transform.matrix, transform.covariance):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 2.0  # type: ignore[index]


def negative() -> np.ndarray:
    covariance = np.eye(12)
    covariance[3, 3] = -1.0
    return covariance


@pytest.mark.parametrize(
    ("matrix", "covariance", "message"),
    [
        (np.eye(3), None, "4 x 4"),
        (np.full((4, 4), np.nan), None, "not finite"),
        (np.ones((4, 4)), None, "last row"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), None, "no inverse"),
        (np.eye(4), np.eye(3), "12 x 12"),
        (np.eye(4), np.triu(np.ones((12, 12))), "not symmetric"),
        (np.eye(4), negative(), "negative"),
        (np.eye(4), np.full((12, 12), np.inf), "not finite"),
        (np.eye(3), np.eye(3), "4 x 4.*12 x 12"),
    ],
)
def test_faulty_transforms_are_refused(matrix: np.ndarray, covariance: np.ndarray | None, message: str) -> None:
    with pytest.raises(fusion.FrameError, match=message):
        Affine(matrix, covariance=covariance)


def test_other_misuse_is_refused() -> None:
    for shape in ((2,), (), (3, 2)):
        with pytest.raises(fusion.FrameError, match=r"\(\.\.\., 3\)"):
            Affine.identity()(np.zeros(shape))
    for axis in ((0, 0, 0), (1, 0)):
        with pytest.raises(fusion.FrameError, match="rotation axis"):
            Affine.rotation(3.0, axis=axis)
    with pytest.raises(fusion.FrameError, match="no covariance"):
        Affine(np.eye(4)).covariance_at([0.0, 0.0, 0.0])
    with pytest.raises(TypeError):
        Affine.identity() @ np.eye(4)  # type: ignore[operator]
    with pytest.raises(TypeError):
        np.eye(4) @ Affine.identity()  # type: ignore[operator]


def image(name: str, pose: Affine | None = None, frame: str | None = None) -> xr.Dataset:
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0)}
    values = {"image": (("y", "x"), np.ones((2, 3)))}
    return fusion.dataset(values, axes, name=name, cell_methods="mean", pose=pose, frame=frame)


@pytest.mark.parametrize("vague", [True, False])
def test_a_pose_survives_the_file_to_the_last_bit(tmp_path: Path, vague: bool) -> None:
    pose = with_covariance(12) if vague else Affine(with_covariance(12).matrix)
    loaded = fusion.load(fusion.save(image("sem", pose, "Träger µ"), tmp_path / "sem.nc"))
    found, frame = fusion.get_pose(loaded)
    assert frame == "Träger µ"
    np.testing.assert_array_equal(found.matrix, pose.matrix)
    np.testing.assert_array_equal(np.asarray(found.covariance), np.asarray(pose.covariance))


def test_a_pose_says_in_its_file_that_its_error_is_a_lower_bound(tmp_path: Path) -> None:
    exact, vague = Affine.translation(1.0), with_covariance(12)
    least = Affine(vague.matrix, covariance=vague.covariance, lower_bound=True)
    for pose, expected in ((exact, None), (vague, None), (least, "lower bound")):
        loaded = fusion.load(fusion.save(image("sem", pose, "stage"), tmp_path / "sem.nc"))
        assert loaded["pose"].attrs.get("covariance_kind") == expected
        assert fusion.get_pose(loaded)[0].lower_bound == (pose is least)
        assert fusion.between(image("tem", exact, "stage"), loaded).lower_bound == (pose is least)


def test_placing_a_dataset_leaves_the_first_one_alone() -> None:
    bare = xr.Dataset({"image": (("y",), np.ones(2), {"units": "1"})}, attrs={"title": "bare"})
    first = fusion.set_pose(bare, Affine.translation(1.0), "stage")
    second = fusion.set_pose(first, Affine.translation(2.0), "holder")
    assert "pose" not in bare.coords
    assert bare["image"].attrs == {"units": "1"}
    assert fusion.get_pose(first)[1] == "stage"
    assert fusion.get_pose(first)[0].matrix[0, 3] == 1.0
    assert fusion.get_pose(second)[1] == "holder"
    assert second["image"].attrs["grid_mapping"] == "pose"


@pytest.mark.parametrize("frame", ["", None, 3])
def test_a_frame_without_a_name_is_refused(frame: object) -> None:
    with pytest.raises(fusion.FrameError, match="needs a name"):
        fusion.set_pose(xr.Dataset(), Affine.identity(), frame)  # type: ignore[arg-type]


def test_between_leads_from_moving_to_fixed() -> None:
    moving_pose = Affine.translation(1.0, 2.0, 3.0) @ Affine.rotation(20.0)
    fixed_pose = Affine.rotation(-35.0, axis=(0, 1, 1)) @ Affine.scaling(1.0, 2.0, 4.0)
    moving, fixed = image("a", moving_pose, "stage"), image("b", fixed_pose, "stage")
    place = np.array([0.5, 1.5, -2.0])
    landed = fusion.between(moving, fixed)(place)
    np.testing.assert_allclose(fixed_pose(landed), moving_pose(place), atol=1e-12)
    assert np.abs(fusion.between(fixed, moving)(place) - landed).max() > 0.1


def test_two_frames_have_nothing_between_them() -> None:
    with pytest.raises(fusion.FrameError, match=r"share no frame.*'a'.*'b'"):
        fusion.between(image("a"), image("b"))
    with pytest.raises(fusion.FrameError, match="has no pose"):
        fusion.between(image("a"), xr.Dataset())


STEPS = {
    "map": Affine.translation(0.0, 1.0, 2.0) @ Affine.rotation(10.0),
    "lamella": Affine.rotation(90.0, axis=(0, 1, 0)) @ Affine.scaling(2.0, 1.0, 1.0),
    "overview": with_covariance(13),
}


def chain() -> xr.DataTree:
    """Return map -> lamella -> overview -> stage."""
    frames = [*list(STEPS)[1:], "stage"]
    nodes = {name: image(name, step, frame) for (name, step), frame in zip(STEPS.items(), frames, strict=True)}
    return xr.DataTree.from_dict({f"/{name}": ds for name, ds in nodes.items()})


def test_poses_compose_along_a_chain() -> None:
    pose, frame = fusion.locate(chain(), "map")
    expected = STEPS["overview"].matrix @ STEPS["lamella"].matrix @ STEPS["map"].matrix
    assert frame == "stage"
    np.testing.assert_allclose(pose.matrix, expected, atol=1e-12)
    inner = (STEPS["lamella"] @ STEPS["map"]).matrix
    assert_same_spread(pose.covariance, upper(drawn(STEPS["overview"], 14) @ inner))


def test_links_that_two_nodes_share_leave_no_error() -> None:
    """Map -> lamella -> overview: the overview's vague place on the stage is no error between the other two."""
    tree = chain()
    direct = fusion.between(tree["map"], tree["lamella"])
    np.testing.assert_allclose(direct.matrix, STEPS["map"].matrix, atol=1e-12)
    assert not np.asarray(direct.covariance).any()
    np.testing.assert_allclose(fusion.between(tree["lamella"], tree["map"]).matrix, direct.inverse().matrix, atol=1e-12)
    apart = fusion.locate(tree, "lamella")[0].inverse() @ fusion.locate(tree, "map")[0]
    assert np.asarray(apart.covariance).any()  # as of two independent places
    aside = xr.DataTree.from_dict({"a": image("a", STEPS["map"], "here"), "b": image("b", STEPS["map"], "there")})
    with pytest.raises(fusion.FrameError, match="a and b share no frame"):
        fusion.between(aside["a"], aside["b"])


def test_a_chain_ends_where_the_frame_is_no_node() -> None:
    assert fusion.locate(chain(), "overview")[1] == "stage"
    lonely = xr.DataTree.from_dict({"/sem": image("sem", Affine.translation(4.0), "sem")})
    pose, frame = fusion.locate(lonely, "sem")
    assert frame == "sem"
    assert pose.matrix[0, 3] == 4.0


def test_a_chain_may_run_through_nested_nodes() -> None:
    tree = xr.DataTree.from_dict(
        {"/stage1/overview": image("overview", STEPS["overview"], "stage"),
         "/stage1/fib/map": image("map", STEPS["map"], "overview")}
    )  # fmt: skip
    pose, _ = fusion.locate(tree, "map")
    np.testing.assert_allclose(pose.matrix, STEPS["overview"].matrix @ STEPS["map"].matrix)


def test_nodes_of_one_name_are_refused_instead_of_taking_one_of_them() -> None:
    tree = xr.DataTree.from_dict(
        {"/a/map": image("map", STEPS["map"], "stage"), "/b/map": image("map", STEPS["lamella"], "stage")}
    )
    with pytest.raises(fusion.FrameError, match="map"):
        fusion.locate(tree, "map")


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_circle_of_poses_is_refused(length: int) -> None:
    nodes = {f"/n{i}": image(f"n{i}", Affine.identity(), f"n{(i + 1) % length}") for i in range(length)}
    with pytest.raises(fusion.FrameError, match="circle: n0 -> n1"):
        fusion.locate(xr.DataTree.from_dict(nodes), "n0")


def test_a_missing_node_is_named_with_those_there_are() -> None:
    with pytest.raises(fusion.FrameError, match=r"no node 'tip'.*lamella.*map.*overview"):
        fusion.locate(chain(), "tip")


@settings(max_examples=20, deadline=None)
@given(affines(), affines())
def test_there_and_back_between_two_datasets_is_the_identity(first: Affine, second: Affine) -> None:
    a, b = fusion.set_pose(xr.Dataset(), first, "f"), fusion.set_pose(xr.Dataset(), second, "f")
    there_and_back = fusion.between(b, a) @ fusion.between(a, b)
    np.testing.assert_allclose(there_and_back.matrix, np.eye(4), atol=1e-8)
