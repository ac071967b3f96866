"""spectra.open on tables of voltammograms by place."""

import numpy as np
import pytest

import fusion
import spectra
from fusion.errors import FileReadError
from tests.makers.voltammograms import rows, written


def test_a_known_point_lies_at_its_place_in_its_sweep(tmp_path):
    path = written(tmp_path, rows())
    assert [item.name for item in spectra.contents(path)] == ["sweep 1", "sweep 2"]
    up, down = (fusion.check(spectra.open(path, name=name)) for name in ("sweep 1", "sweep 2"))
    assert up["current"].dims == ("y", "x", "potential")
    assert up.sizes == {"y": 3, "x": 2, "potential": 3}
    assert float(up["current"].sel(y=8.0, x=0.5, potential=0.2)) == 2102
    assert down["potential"].values.tolist() == [0.0, 0.1]  # it fell in the file
    assert float(down["current"].sel(y=8.0, x=0.5, potential=0.1)) == 2103
    assert up["current"].attrs["units"] == "pA"
    np.testing.assert_allclose(up["height"], np.array([[2, 2], [3, 3], [4, 4]]) * 1e-3)
    assert up["height"].attrs["units"] == "um"
    assert up.attrs["technique"] == "SECCM"
    assert fusion.get_pose(up)[1] == fusion.get_pose(down)[1]


def test_places_in_any_order_and_other_units(tmp_path):
    """Meandering scans come back to the grid; the points of a place keep their order."""
    lines = rows([0.0, 100.0, 200.0])
    groups = [lines[start : start + 3] for start in range(0, len(lines), 3)]
    shuffled = [line for group in np.random.default_rng(1).permutation(len(groups)) for line in groups[group]]
    header = "x [nm];y [nm];z [um];potential [mV];current [nA]"
    ds = spectra.open(written(tmp_path, shuffled, header, parted=";"))
    assert ds["x"].values.tolist() == [0.0, 0.0005]
    np.testing.assert_allclose(ds["potential"], [0.0, 0.1, 0.2])
    np.testing.assert_array_equal(ds["current"].values, np.array([line[4] for line in lines]).reshape(3, 2, 3))


def test_z_may_be_missing(tmp_path):
    lines = [(x, y, potential, current) for x, y, _, potential, current in rows([-0.1, 0.1])]
    ds = spectra.open(written(tmp_path, lines, "x (um)\ty (um)\tpotential (V)\tcurrent (nA)", parted="\t"))
    assert list(ds.data_vars) == ["current"]


@pytest.mark.parametrize(
    "header",
    [
        "X [um],Y [um],z [nm],E [V],I [pA]",
        "x_um,y_um,z_nm,voltage_V,current_pA",
        "x/µm,y/µm,z/nm,potential/V,current/pA",
    ],
)
def test_titles_of_other_programs(tmp_path, header):
    ds = spectra.open(written(tmp_path, rows([0.0, 0.1, 0.2]), header))
    assert ds.sizes == {"y": 3, "x": 2, "potential": 3}
    assert float(ds["current"].sel(y=8.0, x=0.5, potential=0.2)) == 2102


def test_other_columns_are_left_out_by_name(tmp_path):
    lines = [("gold", *line, 7.0) for line in rows([0.0, 0.1, 0.2])]
    header = "sample,x (um),y (um),z (nm),potential (V),current (pA),time (s)"
    ds = spectra.open(written(tmp_path, lines, header))
    assert float(ds["current"].sel(y=8.0, x=0.5, potential=0.2)) == 2102
    assert ds.attrs["left_out"] == ["sample", "time (s)"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[:-1], "29 lines do not fill a grid of 3 x 2"),
        (lambda lines: lines[:-5], "25 lines do not fill"),
        (lambda lines: lines[5:10] + lines[5:], "missing or there twice"),
        (lambda lines: [(*lines[0][:2], 9.0, *lines[0][3:]), *lines[1:]], "z changes within a place"),
        (lambda lines: [(*lines[0][:3], 0.05, 0.0), *lines[1:]], "different potentials"),
        (lambda lines: [(*line[:3], 0.1, 0.0) for line in lines], "the potential rests"),
        (lambda lines: [line[:4] for line in lines], "numbers for the columns"),
        (lambda lines: [("a", *line[1:]) for line in lines], "damaged"),
        (lambda lines: [], "numbers for the columns|damaged"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_refused(tmp_path, change, reason):
    path = written(tmp_path, change(rows()))
    with pytest.raises(FileReadError, match=reason):
        spectra.open(path, name="sweep 1")


def test_a_wrong_kind_of_unit_is_refused(tmp_path):
    path = written(tmp_path, rows([0.0, 0.1]), "x (V), y (um), z (nm), potential (V), current (pA)")
    with pytest.raises(FileReadError, match="no voltammograms"):
        spectra.open(path)


def test_a_header_without_units_is_no_table(tmp_path):
    path = written(tmp_path, rows(), "x, y, z, potential, current")
    with pytest.raises(FileReadError, match="unknown format"):
        spectra.open(path)


def test_a_truncated_file_is_never_whole(tmp_path):
    path = written(tmp_path, rows())
    whole = path.read_bytes()
    for kept in np.linspace(0, len(whole) - 1, 10).astype(int):
        path.write_bytes(whole[:kept])
        with pytest.raises(FileReadError):
            spectra.open(path, name="sweep 1")
