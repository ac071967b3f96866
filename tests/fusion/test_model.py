"""The builder and the judge: every fault is made on purpose and found, and nothing is changed on the way."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import fusion
from fusion import Axis
from fusion.conventions import SIGNAL, error_of, kind, signal_dim, spacing
from fusion.model import length, require_data, require_lengths

SPACE = {"z": Axis("um", 0.4, 3.0), "y": Axis("nm", 20.0, -50.0), "x": Axis("um", 0.03, 0.5)}
Spoil = Callable[[xr.Dataset], object]


def good() -> xr.Dataset:
    """Return a dataset without fault: counts, a volume, labels, errors, and an unrelated spectrum."""
    shape = (2, 3, 4)
    volume = np.arange(24.0).reshape(shape)
    return fusion.dataset(
        {
            "volume": (("z", "y", "x"), volume, {"ancillary_variables": "volume_stderr"}),
            "volume_stderr": (("z", "y", "x"), np.ones(shape)),
            "counts": (("z", "y", "x", "energy"), np.ones((*shape, 5), np.uint16), {"units": "count"}),
            "phase": (("z", "y", "x"), np.ones(shape, np.uint8), {"flag_values": [0, 1], "flag_meanings": "a b"}),
            "endmember": (("component", "energy"), np.ones((2, 5))),
        },
        {**SPACE, "energy": Axis("eV", 10.0, 5.0), "component": ["iron", "rust"]},
        name="good",
        cell_methods={"volume": "mean", "volume_stderr": "mean", "counts": "sum"},
    )


def put_attr(place: str, key: Any, value: object) -> Spoil:
    return lambda ds: ds[place].attrs.__setitem__(key, value)


def drop_attr(place: str, key: str) -> Spoil:
    return lambda ds: ds[place].attrs.pop(key)


def put_coord(dim: str, values: object) -> Spoil:
    return lambda ds: ds.coords.__setitem__(dim, ds[dim].copy(data=np.asarray(values)))


FAULTS: list[tuple[Spoil, str]] = [
    (lambda ds: ds.__setitem__("image", (("row",), np.ones(7))), "image: unknown dim 'row'"),
    (lambda ds: ds.__setitem__("volume", ds["volume"].transpose("x", "y", "z")), "volume: dims .* not in the order"),
    (lambda ds: ds.__setitem__("counts", ds["counts"].transpose("energy", ...)), "counts: dims .* not in the order"),
    (drop_attr("counts", "cell_methods"), "counts: nothing says whether its values are counts"),
    (put_attr("volume", "cell_methods", "z: y: x: maximum"), "volume: nothing says whether its values are counts"),
    (lambda ds: ds.__setitem__("thing", ((), np.array({}, dtype=object))), "thing: dtype object is neither"),
    (lambda ds: ds.__setitem__("day", ((), np.datetime64("2024-01-01", "ns"))), r"day: dtype datetime64\[ns\]"),
    (put_attr("counts", "units", "furlongs per what"), r"counts.attrs\['units'\]: unknown unit 'furlongs per what'"),
    (put_attr("volume", "ancillary_variables", "gone"), r"volume.attrs\['ancillary_variables'\]: 'gone' is not in"),
    (put_attr("volume", "grid_mapping", "crs"), r"volume.attrs\['grid_mapping'\]: 'crs' is not in"),
    (lambda ds: ds.__delitem__("x"), "x: no coordinate"),
    (lambda ds: ds.__delitem__("energy"), "energy: no coordinate"),
    (put_coord("z", [False, True]), "z: coordinates are numbers; received bool"),
    (put_coord("x", [0.0, 1.0, np.nan, 3.0]), "x: coordinates are not all finite"),
    (put_coord("energy", np.arange(5.0)[::-1]), "energy: coordinates do not ascend"),
    (put_coord("y", [0.0, 1.0, 1.0]), "y: coordinates do not ascend"),
    (put_attr("x", "units", "nm"), r"x.attrs\['units'\]: 'nm' where 'um' or 'px' is expected"),
    (drop_attr("z", "units"), r"z.attrs\['units'\]: None where"),
    (put_attr("energy", "units", "eV"), r"energy.attrs\['units'\]: 'eV' where 'keV' is expected"),
    (put_attr("y", "axis", "X"), r"y.attrs\['axis'\]: 'X' where 'Y' is expected"),
    (put_attr("x", "units", "px"), "spatial axes mix um and px"),
    (drop_attr("pose", "frame"), "pose: damaged"),
    (drop_attr("pose", "matrix"), "pose: damaged"),
    (put_attr("pose", "matrix", np.zeros(16)), "pose: .*last row"),
    (put_attr("pose", "matrix", np.ones(9)), "pose: damaged"),
    (put_attr("pose", "covariance", np.ones(12)), "pose: damaged"),
    *((put_attr("volume", key, 1), rf"volume.attrs\['{key}'\]: this name changes the values")
      for key in ("_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "coordinates")),
    (put_attr("x", "scale_factor", 2.0), r"x.attrs\['scale_factor'\]: this name changes the values"),
    *((put_attr("counts", "note", value), rf"counts.attrs\['note'\]: {type(value).__name__} cannot be stored")
      for value in (None, True, np.bool_(False), {"a": 1}, [[1, 2], [3]], [[1, 2], [3, 4]], [None, 1], object(), 1j,
                    np.datetime64("2024"), b"bytes", [1, "a"], {1, 2}, 2**80, np.complex128(1j), [True, False])),
    (put_attr("counts", "note", "a\0b"), r"counts.attrs\['note'\]: str cannot be stored"),
    (lambda ds: ds.__setitem__("a/b", ((), 1.0)), "a/b: the name of a variable is text without '/'"),
    (put_attr("counts", 3, "number as name"), r"counts.attrs\[3\]: "),
    (lambda ds: ds.attrs.__setitem__("flag", False), r"attrs\['flag'\]: bool cannot be stored"),
]  # fmt: skip


def test_a_dataset_without_fault_passes_as_it_is() -> None:
    ds = good()
    assert fusion.check(ds) is ds


@pytest.mark.parametrize(("spoil", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_each_fault_is_found_with_its_place(spoil: Spoil, fault: str) -> None:
    ds = good()
    spoil(ds)
    with pytest.raises(fusion.ConventionError, match=fault):
        fusion.check(ds)


def test_all_faults_are_listed_at_once() -> None:
    ds = good()
    put_attr("x", "units", "nm")(ds)
    put_attr("volume", "cell_methods", "maximum")(ds)
    put_attr("counts", "note", None)(ds)
    put_coord("energy", np.arange(5.0)[::-1])(ds)
    drop_attr("pose", "frame")(ds)
    with pytest.raises(fusion.ConventionError) as caught:
        fusion.check(ds)
    places = sorted(fault.partition(":")[0] for fault in caught.value.faults)
    assert places == ["counts.attrs['note']", "energy", "pose", "volume", "x.attrs['units']"]
    assert str(caught.value).startswith("5 faults: ")


def test_faults_of_a_tree_name_the_node() -> None:
    spoiled = good()
    drop_attr("counts", "cell_methods")(spoiled)
    tree = xr.DataTree.from_dict({"sem": good(), "lamella/edx": spoiled})
    with pytest.raises(fusion.ConventionError, match=r"1 fault: /lamella/edx/counts: nothing says"):
        fusion.check(tree)


def test_what_is_no_dataset_is_refused() -> None:
    with pytest.raises(fusion.ConventionError, match="received ndarray"):
        fusion.check(np.zeros(3))  # type: ignore[type-var]


@pytest.mark.parametrize(("spoil", "_"), [(lambda ds: None, ""), *FAULTS])
def test_judging_changes_nothing(spoil: Spoil, _: str) -> None:
    ds = good()
    spoil(ds)
    before = {name: (v.dims, v.dtype, deepcopy(v.values), dict(v.attrs)) for name, v in ds.variables.items()}
    texts = {name: repr(v.attrs) for name, v in ds.variables.items()}
    attrs = deepcopy(ds.attrs)
    with suppress(fusion.ConventionError):
        fusion.check(ds)
    assert list(ds.variables) == list(before)
    for name, (dims, dtype, values, kept) in before.items():
        variable = ds.variables[name]
        assert (variable.dims, variable.dtype) == (dims, dtype)
        np.testing.assert_array_equal(variable.values, values)
        assert repr(variable.attrs) == texts[name] == repr(kept)
    assert ds.attrs == attrs


def test_the_known_voxel_stays_at_its_place_when_axes_descend() -> None:
    data = np.zeros((3, 4, 5, 6))
    data[2, 1, 4, 0] = 7.0
    axes = {
        "z": Axis("um", -0.5, 10.0),
        "y": Axis("um", values=[9.0, 4.0, 2.0, 1.0]),
        "x": Axis("nm", 250.0, -1000.0),
        "energy_loss": Axis("eV", -2.0, 100.0),
    }
    ds = fusion.dataset({"v": (("z", "y", "x", "energy_loss"), data)}, axes, name="v", cell_methods="mean")
    assert all((np.diff(ds[dim].values) > 0).all() for dim in ds.dims)
    assert ds["v"].sel(z=9.0, y=4.0, x=0.0, energy_loss=100.0).item() == 7.0
    assert float(ds["v"].sum()) == 7.0


@pytest.mark.parametrize("dims", [("x", "y", "z", "energy"), ("energy", "z", "x", "y"), ("y", "energy", "z", "x")])
def test_any_order_of_dims_is_brought_to_z_y_x_signal(dims: tuple[str, ...]) -> None:
    sizes = {"z": 2, "y": 3, "x": 4, "energy": 5}
    weights = {"z": 100, "y": 10, "x": 1, "energy": 1000}
    grids = np.meshgrid(*(np.arange(sizes[dim]) * weights[dim] for dim in dims), indexing="ij")
    axes = {**SPACE, "energy": Axis("keV", 1.0)}
    ds = fusion.dataset({"v": (dims, sum(grids))}, axes, name="v", cell_methods="mean")
    assert ds["v"].dims == ("z", "y", "x", "energy")
    assert ds["v"].values[1, 2, 3, 4] == 4123


@given(step=st.floats(1e-3, 1e3), offset=st.floats(-1e4, 1e4), size=st.integers(2, 3000))
@settings(max_examples=50, deadline=None)
def test_coordinates_are_offset_plus_step_times_index_and_not_accumulated(
    step: float, offset: float, size: int
) -> None:
    axes = {"x": Axis("um", step, offset)}
    ds = fusion.dataset({"v": (("x",), np.zeros(size))}, axes, name="line", cell_methods="point")
    exact = [offset + step * i for i in range(size)]
    assert ds["x"].dtype == np.float64
    np.testing.assert_array_equal(ds["x"].values, exact)


def test_accumulated_steps_would_drift() -> None:
    steps, size = 0.1, 100_000
    exact = Axis("um", steps).centres(size, "um")
    accumulated = np.cumsum(np.full(size, steps)) - steps
    assert exact[-1] == (size - 1) * steps
    assert abs(accumulated[-1] - exact[-1]) > 1e-9


@pytest.mark.parametrize(
    ("dim", "given_as", "kept_as", "factor"),
    [
        ("x", "nm", "um", 1e-3), ("x", "µm", "um", 1.0), ("x", "Å", "um", 1e-4), ("x", "m", "um", 1e6),
        ("x", "pixels", "px", 1.0), ("energy", "eV", "keV", 1e-3), ("energy", "keV", "keV", 1.0),
        ("energy_loss", "keV", "eV", 1e3), ("raman_shift", "cm-1", "1/cm", 1.0), ("raman_shift", "1/nm", "1/cm", 1e7),
        ("wavelength", "um", "nm", 1e3), ("potential", "mV", "V", 1e-3), ("time", "ms", "s", 1e-3),
        ("mass_to_charge", "", "1", 1.0), ("tilt", "rad", "degree", 57.29577951308232),
    ],
)  # fmt: skip
def test_axes_come_in_their_standard_unit(dim: str, given_as: str, kept_as: str, factor: float) -> None:
    axis = Axis(given_as, 2.0, 10.0)
    ds = fusion.dataset({"v": ((dim,), np.zeros(3))}, {dim: axis}, name="line", cell_methods="point")
    np.testing.assert_allclose(ds[dim].values, np.array([10.0, 12.0, 14.0]) * factor, rtol=1e-14)
    assert ds[dim].attrs["units"] == kept_as
    assert ds[dim].attrs["long_name"]


def test_every_signal_axis_has_a_standard_unit_that_is_readable() -> None:
    assert all(fusion.model.units.parse(unit) == unit for unit in SIGNAL.values())


@pytest.mark.parametrize(("dim", "unit"), [("x", "eV"), ("x", ""), ("energy", "nm"), ("energy", "px"), ("z", "A")])
def test_an_axis_of_the_wrong_kind_is_refused(dim: str, unit: str) -> None:
    with pytest.raises(fusion.UnitError):
        fusion.dataset({"v": ((dim,), np.zeros(3))}, {dim: Axis(unit, 1.0)}, name="v", cell_methods="point")


def test_an_axis_without_unit_is_refused() -> None:
    with pytest.raises(fusion.UnitError, match="no unit"):
        fusion.dataset({"v": (("x",), np.zeros(3))}, {"x": Axis(None, 1.0)}, name="v")  # type: ignore[arg-type]


def test_pixels_beside_micrometres_are_refused() -> None:
    axes = {"y": Axis("um", 1.0), "x": Axis("px", 1.0)}
    with pytest.raises(fusion.ConventionError, match="mix um and px"):
        fusion.dataset({"v": (("y", "x"), np.zeros((2, 3)))}, axes, name="v", cell_methods="mean")


def build(variables: dict[str, Any], axes: dict[str, Any]) -> xr.Dataset:
    return fusion.dataset(variables, axes, name="v", cell_methods="mean")


XY = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
FLAT = {"v": (("y", "x"), np.zeros((2, 3)))}


@pytest.mark.parametrize(
    ("variables", "axes", "message"),
    [
        (FLAT, {"y": Axis("um", 1.0)}, "x: no coordinate"),
        (FLAT, {**XY, "x": Axis("um", values=[1.0, 2.0])}, r"x: positions of shape \(2,\) for 3 pixels"),
        (FLAT, {"y": Axis("um", values=[1.0]), "x": Axis("um", values=3.0)}, "2 faults: y: .* x: positions of shape"),
        (FLAT, {**XY, "x": Axis("um", values=np.zeros((3, 1)))}, r"x: positions of shape \(3, 1\)"),
        (FLAT, {**XY, "x": Axis("um", 0.0)}, "x: coordinates do not ascend"),
        (FLAT, {**XY, "x": Axis("um", np.nan)}, "x: coordinates are not all finite"),
        (FLAT, {**XY, "x": Axis("um", values=[3.0, 1.0, 2.0])}, "x: coordinates do not ascend"),
        (FLAT, {**XY, "z": Axis("um", 1.0)}, "z: no variable has this dim"),
        (FLAT, {**XY, "z": Axis("um", values=[1.0, 2.0])}, "z: .* no variable has this dim"),
        (FLAT, {**XY, "energy": Axis("keV", 1.0)}, "energy: no variable has this dim"),
        (FLAT, {**XY, "x": [1.0, 2.0, 3.0]}, r"x.attrs\['units'\]"),
        ({**FLAT, "w": (("y", "x"), np.zeros((2, 4)))}, XY, "w: 4 pixels along x, but another variable has 3"),
        ({"v": (("y",), np.zeros((2, 3)))}, XY, "v: give "),
        ({"v": 3}, XY, "v: give "),
    ],
)
def test_variables_and_axes_that_do_not_fit_are_refused(variables: Any, axes: Any, message: str) -> None:
    with pytest.raises(fusion.ConventionError, match=message):
        build(variables, axes)


@pytest.mark.parametrize("arguments", [{}, {"step": 1.0, "values": [1.0]}])
def test_an_axis_has_a_step_or_values(arguments: dict[str, Any]) -> None:
    with pytest.raises(fusion.ConventionError, match="either step"):
        Axis("um", **arguments)


def test_dask_arrays_stay_lazy_and_are_never_computed() -> None:
    def explode(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    lazy = da.zeros((4, 5, 6), chunks=2).map_blocks(explode, dtype=float, meta=np.empty((0, 0, 0)))
    axes = {"z": Axis("um", -1.0), "y": Axis("nm", 5.0), "x": Axis("um", 1.0)}
    ds = fusion.dataset({"v": (("x", "y", "z"), lazy)}, axes, name="v", cell_methods="mean")
    assert isinstance(ds["v"].data, da.Array)
    assert ds["v"].dims == ("z", "y", "x")


def test_the_builder_leaves_its_input_alone() -> None:
    data = np.arange(12.0).reshape(3, 4)
    data.setflags(write=False)
    given_attrs = {"units": "counts"}
    array = xr.DataArray(data, dims=("x", "y"), attrs=given_attrs)
    axes = {"y": Axis("um", -1.0), "x": Axis("um", 1.0)}
    attrs = {"operator": "me"}
    ds = fusion.dataset({"v": array, "w": (("x", "y"), data, given_attrs)}, axes, name="v", cell_methods="sum",
                        attrs=attrs)  # fmt: skip
    assert array.attrs == given_attrs == {"units": "counts"}
    assert array.dims == ("x", "y")
    assert attrs == {"operator": "me"}
    assert ds["v"].attrs["units"] == ds["w"].attrs["units"] == "count"
    assert ds["v"].attrs["cell_methods"] == "y: x: sum"


def test_a_map_in_a_plane_keeps_its_height_as_one_number() -> None:
    ds = build(FLAT, {**XY, "z": Axis("nm", values=1500.0)})
    assert ds["z"].dims == ()
    assert ds["z"].item() == 1.5
    assert (ds["z"].attrs["units"], ds["z"].attrs["axis"]) == ("um", "Z")


def test_points_carry_coordinates_along_point() -> None:
    place = np.array([[3.0, 1.0], [1.0, 5.0], [2.0, 4.0]])
    axes = {"y": Axis("nm", values=place[:, 0] * 1e3), "x": Axis("um", values=place[:, 1])}
    ds = fusion.dataset({"brightness": (("point",), [1.0, 2.0, 3.0])}, axes, name="beads")
    assert ds["y"].dims == ds["x"].dims == ("point",)
    np.testing.assert_array_equal(ds["y"].values, place[:, 0])
    np.testing.assert_array_equal(ds["brightness"].values, [1.0, 2.0, 3.0])


def test_a_name_and_a_frame_are_kept() -> None:
    shift = fusion.Affine.translation(x=2.0)
    ds = fusion.dataset(FLAT, XY, name="sem", cell_methods="mean", pose=shift, frame="stage", attrs={"kv": 15.0})
    pose, frame = fusion.get_pose(ds)
    assert (ds.attrs["title"], ds.attrs["kv"], frame) == ("sem", 15.0, "stage")
    np.testing.assert_array_equal(pose.matrix, shift.matrix)
    assert fusion.get_pose(build(FLAT, XY))[1] == "v"


def pixels() -> xr.Dataset:
    axes = {"y": Axis("px", 1.0), "x": Axis("px", 1.0, 10.0)}
    return fusion.dataset({"image": (("y", "x"), np.arange(6).reshape(2, 3))}, axes, name="sem", cell_methods="mean")


def test_a_pixel_size_turns_pixels_into_micrometres() -> None:
    ds = pixels()
    sized = fusion.set_pixel_size(ds, y="0.5 µm", x="62 nm")
    np.testing.assert_allclose(sized["x"].values, [0.62, 0.682, 0.744], rtol=1e-15)
    np.testing.assert_array_equal(sized["y"].values, [0.0, 0.5])
    assert sized["x"].attrs == {**ds["x"].attrs, "units": "um"}
    assert ds["x"].attrs["units"] == "px"
    np.testing.assert_array_equal(sized["image"].values, ds["image"].values)


@pytest.mark.parametrize(
    "sizes",
    [
        {"y": "1 um", "x": "3 px"}, {"y": "1 um", "x": "3 eV"}, {"y": "1 um", "x": "-3 nm"}, {"y": "1 um", "x": 0.0},
        {"y": "1 um", "x": "nan um"}, {"y": "1 um", "x": "wide"}, {"y": "1 um", "x": np.inf},
        {"y": "1 um", "x": "1 um", "z": "1 um"}, {"y": "1 um", "x": "3 A"},
    ],
)  # fmt: skip
def test_senseless_pixel_sizes_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(fusion.UnitError):
        fusion.set_pixel_size(pixels(), **sizes)


def test_a_pixel_size_for_half_of_the_axes_is_refused() -> None:
    with pytest.raises(fusion.ConventionError, match="mix um and px"):
        fusion.set_pixel_size(pixels(), x="1 um")


def test_a_pixel_size_is_not_given_twice() -> None:
    sized = fusion.set_pixel_size(pixels(), y=1.0, x=1.0)
    with pytest.raises(fusion.UnitError, match="only axes in px"):
        fusion.set_pixel_size(sized, x=2.0)


@pytest.mark.parametrize(
    ("text", "size"),
    [("62 nm", 0.062), ("62nm", 0.062), (" 1e-3 m ", 1000.0), ("5", 5.0), (0.25, 0.25), ("150 Å", 0.015), ("2E0um", 2)],
)  # fmt: skip
def test_lengths_are_read_from_text(text: str | float, size: float) -> None:
    assert length(text) == pytest.approx(size, rel=1e-14)


def test_what_needs_lengths_refuses_pixels_and_says_how_to_give_them() -> None:
    with pytest.raises(fusion.UnitError, match=r"along y, x is not known.*set_pixel_size"):
        require_lengths(pixels(), "fused")
    require_lengths(good(), "fused")


def test_data_without_any_value_are_refused() -> None:
    empty = build({"v": (("y", "x"), np.full((2, 3), np.nan))}, XY)["v"]
    with pytest.raises(fusion.DataError, match="no finite value"):
        require_data(empty)
    with pytest.raises(fusion.DataError, match="1 pixel along y"):
        require_data(empty.fillna(0.0).isel(y=[0]))
    require_data(empty.fillna(0.0))


def test_the_kind_of_a_value_is_read_from_its_attributes() -> None:
    ds = good()
    kinds = {str(name): kind(variable) for name, variable in ds.data_vars.items()}
    assert kinds == {
        "volume": "mean", "volume_stderr": "mean", "counts": "sum", "phase": "label", "endmember": "none"
    }  # fmt: skip
    assert error_of(ds["volume"]) == "volume_stderr"
    assert error_of(ds["counts"]) is None
    assert signal_dim(ds["counts"]) == "energy"
    for name in ("volume", "endmember"):
        with pytest.raises(fusion.ConventionError, match="one signal axis"):
            signal_dim(ds[name])


@given(step=st.floats(1e-4, 1e4), offset=st.floats(-1e3, 1e3), size=st.integers(2, 60))
def test_a_uniform_axis_gives_its_step_and_a_bent_one_none(step: float, offset: float, size: int) -> None:
    values = offset + step * np.arange(size)
    found = spacing(xr.DataArray(values, dims="x"))
    assert found is not None
    assert found == pytest.approx(step, rel=1e-3, abs=1e-12)
    if size > 2:
        values[1] += 0.01 * step
        assert spacing(xr.DataArray(values, dims="x")) is None
    assert spacing(xr.DataArray(values[:1], dims="x")) is None
