"""HyperSpy files (hspy): expressions, models and objects that they hold are data, never run."""

import pickle

import h5py
import numpy as np
import pytest

import fusion
import spectra
from fusion import FileReadError
from tests.makers.hspy import experiment, trap, write


def test_the_trap_would_spring(tmp_path):
    mark, pickled, expression = trap(tmp_path)
    pickle.loads(pickled)
    assert mark.exists()
    mark.unlink()
    eval(expression, {"x": 1.0})
    assert mark.exists()


def test_the_expression_of_an_axis_is_not_evaluated(tmp_path):
    """As HyperSpy saves a FunctionalDataAxis: the expression, and the axis that it is a function of."""
    mark, _, expression = trap(tmp_path)
    path = write(tmp_path / "a.hspy")
    with h5py.File(path, "a") as file:
        axis = experiment(file)["axis-1"]
        for key in list(axis.attrs):
            del axis.attrs[key]
        said = {"_type": "FunctionalDataAxis", "expression": expression, "name": "Wavelength", "units": "nm",
                "navigate": False, "size": 3, "a": 2.0}  # fmt: skip
        for key, value in said.items():
            axis.attrs[key] = value
        inner = axis.create_group("x")
        for key, value in {"_type": "UniformDataAxis", "scale": 1.0, "offset": 0.0, "size": 3}.items():
            inner.attrs[key] = value
    with pytest.raises(FileReadError, match="code from files is not run"):
        spectra.open(path)
    assert spectra.contents(path)[0].technique == "unreadable"
    assert not mark.exists()


def test_stored_models_are_not_loaded(tmp_path):
    """As HyperSpy stores a model: components with pickled functions (dill) and expressions."""
    mark, pickled, expression = trap(tmp_path)
    path = write(tmp_path / "a.hspy")
    with h5py.File(path, "a") as file:
        model = file.create_group("Analysis/models/a")
        model.attrs["_signal"] = experiment(file).name
        component = model.create_group("components/component0")
        component.attrs["_id_name"], component.attrs["expression"] = "Expression", expression
        component.attrs["_bs_function"] = np.void(pickled)
        component["twin_function"] = np.void(pickled)
        parameter = component.create_group("parameters/a")
        parameter.attrs["twin_function_expr"] = expression
        file.create_group("Analysis/models/alone/components").attrs["_bs_dill"] = np.void(pickled)
    ds = spectra.open(path)
    np.testing.assert_array_equal(ds["intensity"], np.arange(6.0).reshape(2, 3))
    assert not mark.exists()


def test_pickles_in_metadata_and_learning_results_stay_bytes(tmp_path):
    mark, pickled, expression = trap(tmp_path)
    path = write(tmp_path / "a.hspy")
    with h5py.File(path, "a") as file:
        group = experiment(file)
        group["metadata"].attrs["_bs_object"] = np.void(pickled)
        group["original_metadata"].attrs["expression"] = expression
        group.require_group("learning_results")["factors"] = np.void(pickled)
        markers = group["metadata"].require_group("Markers/a")
        markers.attrs["_bs_plot"], markers.attrs["expression"] = np.void(pickled), expression
    ds = spectra.open(path)
    assert fusion.check(ds) is ds
    assert not mark.exists()


def test_a_date_is_read_as_a_literal_only(tmp_path):
    """Old files spell dates as calls; their arguments are parsed, not run."""
    mark, _, expression = trap(tmp_path)
    path = write(tmp_path / "a.hspy")
    with h5py.File(path, "a") as file:
        experiment(file)["metadata/General"].attrs["_datetime_date"] = f"datetime.date({expression})"
    with pytest.raises(FileReadError, match="the hspy reader failed"):
        spectra.open(path)
    assert not mark.exists()


def test_ragged_objects_are_refused(tmp_path):
    path = write(tmp_path / "a.hspy")
    with h5py.File(path, "a") as file:
        group = experiment(file)
        del group["data"], group["axis-1"]
        ragged = group.create_dataset("data", (2,), h5py.vlen_dtype(np.uint8))
        ragged[0], ragged[1] = np.frombuffer(trap(tmp_path)[1], np.uint8), np.arange(3, dtype=np.uint8)
    with pytest.raises(FileReadError, match="dtype object is neither number nor text"):
        spectra.open(path)
    assert not (tmp_path / "ran").exists()
    assert spectra.contents(path)[0].technique == "unreadable"


def test_measured_streak_image_has_time_and_wavelength(measured):
    path = measured("time_series/GaAsSb_streak_image.hspy")
    ds = spectra.open(path)
    with h5py.File(path) as file:
        group = experiment(file)
        stored = group["data"][...]
        said = [dict(group[f"axis-{index}"].attrs) for index in (0, 1)]
    assert ds["intensity"].dims == ("time", "wavelength")
    assert [axis["units"] for axis in said] == ["ps", "nm"]
    for dim, axis, factor in zip(("time", "wavelength"), said, (1e-12, 1.0), strict=True):
        positions = (axis["offset"] + axis["scale"] * np.arange(axis["size"])) * factor
        np.testing.assert_allclose(ds[dim], positions, rtol=1e-12)
        assert (np.diff(ds[dim]) > 0).all()
    np.testing.assert_array_equal(ds["intensity"], stored)
    assert (ds["time"].attrs["units"], ds["wavelength"].attrs["units"]) == ("s", "nm")
