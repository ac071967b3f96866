"""Localisations: their tables against h5py and numbers written here, and their images against the integral of Gauss."""

import h5py
import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import ConspectusError, FileReadError
from fusion.model import Axis, dataset
from tests.makers.localisations import picasso, thunderstorm

ROWS = ["1.0,1.0,1500.5,20000.25,130.0,900.0,12.5,3.5,70.0,11.0", "2.0,7.0,10.0,NaN,140.0,800.0,13.5,4.5,80.0,13.0"]


def points(y, x, *, y_stderr=None, x_stderr=None, **more):
    size = len(y)
    variables = {"photons": ("point", np.full(size, 900.0))}
    for name, values in (("y_stderr", y_stderr), ("x_stderr", x_stderr)):
        if values is not None:
            variables[name] = ("point", np.broadcast_to(values, size).astype(float), {"units": "um"})
    axes = {"y": Axis("um", values=np.asarray(y, float)), "x": Axis("um", values=np.asarray(x, float))}
    return dataset(variables, axes, name="dna", **more)


class TestThunderStorm:
    def test_columns_and_units(self, tmp_path):
        ds = fusion.check(volumes.open(thunderstorm(tmp_path, *ROWS)))
        np.testing.assert_allclose(ds["x"], [1.5005, 0.01])
        np.testing.assert_allclose(ds["y"], [20.00025, np.nan])
        assert ds["x"].dims == ("point",)
        assert ds["x"].attrs["units"] == "um"
        assert "z" not in ds.coords
        assert ds.attrs["technique"] == "SMLM"
        found = {name: (ds[name].values.round(9).tolist(), ds[name].attrs["units"]) for name in ds.data_vars}
        assert found == {
            "id": ([1, 2], "1"), "frame_number": ([1, 7], "1"), "psf_sigma": ([0.13, 0.14], "um"),
            "photons": ([900, 800], "count"), "background": ([12.5, 13.5], "count"),
            "background_std": ([3.5, 4.5], "count"), "chi2": ([70, 80], "1"),
            "y_stderr": ([0.011, 0.013], "um"), "x_stderr": ([0.011, 0.013], "um"),
        }  # fmt: skip

    def test_three_dimensions(self, tmp_path):
        titles = '"frame","x [nm]","y [nm]","z [nm]","sigma1 [nm]","sigma2 [nm]","uncertainty_z [nm]"'
        ds = volumes.open(thunderstorm(tmp_path, "3,1000,2000,-400,150,190,28", titles=titles))
        assert [ds[dim].item() for dim in "zyx"] == pytest.approx([-0.4, 2.0, 1.0])
        assert ds["z_stderr"].item() == pytest.approx(0.028)
        assert (ds["psf_sigma_1"].item(), ds["psf_sigma_2"].item()) == pytest.approx((0.15, 0.19))

    @pytest.mark.parametrize("rows", [0, 1])
    def test_few_rows(self, tmp_path, rows):
        ds = volumes.open(thunderstorm(tmp_path, *ROWS[:rows]))
        assert ds.sizes == {"point": rows}
        assert volumes.contents(tmp_path / "dna.csv") == [
            volumes.Content("dna", "SMLM", ("point",), (rows,), "float64", ("1",))
        ]

    def test_the_name_that_is_listed_opens_the_table(self, tmp_path):
        path = thunderstorm(tmp_path, *ROWS)
        (item,) = volumes.contents(path)
        assert volumes.open(path, name=item.name).drop_attrs().identical(volumes.open(path).drop_attrs())

    def test_bytes_of_other_programs(self, tmp_path):
        path = tmp_path / "dna.csv"
        path.write_bytes(b"\xef\xbb\xbfframe,x [um],y [um],intensity [photon]\r\n1,0.5,0.25,900\r\n")
        ds = volumes.open(path)
        assert (ds["y"].item(), ds["x"].item(), ds["photons"].item()) == (0.25, 0.5, 900)

    def test_one_column_by_name(self, tmp_path):
        ds = volumes.open(thunderstorm(tmp_path, *ROWS), name="photons")
        assert list(ds.data_vars) == ["photons"]
        with pytest.raises(FileReadError, match="no array 'brightness'"):
            volumes.open(tmp_path / "dna.csv", name="brightness")

    @pytest.mark.parametrize("whole", [False, True])
    @pytest.mark.parametrize("filled", ["", ";;", ",,"])
    @pytest.mark.parametrize(("separator", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ",")])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    def test_what_a_spreadsheet_makes_of_it(self, tmp_path, separator, decimal, whole, filled, encoding):
        titles = separator.join(['"frame"', '"x [µm]"', '"y [µm]"', '"intensity [photon]"'])
        if whole:
            titles = '"' + titles.replace('"', '""') + '"'
        rows = [
            separator.join(row).replace(".", decimal) for row in (("1", "1.5", "0.25", "900.5"), ("2", "3", "4", "5"))
        ]
        path = tmp_path / "dna.csv"
        path.write_bytes("\r\n".join([*(line + filled for line in (titles, *rows)), ""]).encode(encoding))
        ds = volumes.open(path)
        assert ds["x"].values.tolist() == [1.5, 3.0]
        assert ds["y"].values.tolist() == [0.25, 4.0]
        assert ds["photons"].values.tolist() == [900.5, 5.0]
        assert ds["frame_number"].values.tolist() == [1, 2]

    def test_decimal_commas_that_were_quoted(self, tmp_path):
        titles = '"frame","x [um]","y [um]","intensity [photon]"'
        ds = volumes.open(thunderstorm(tmp_path, '1,"1,5","0,25",900', '2,3,"4,125","8,5e2"', titles=titles))
        assert ds["x"].values.tolist() == [1.5, 3.0]
        assert ds["y"].values.tolist() == [0.25, 4.125]
        assert ds["photons"].values.tolist() == [900.0, 850.0]

    def test_rows_that_were_quoted_as_a_whole(self, tmp_path):
        titles = '"frame,""x [nm]"",""y [nm]"""'
        ds = volumes.open(thunderstorm(tmp_path, '"1,1500,250"', '"2,3000,4000"', titles=titles))
        np.testing.assert_allclose(ds["x"], [1.5, 3.0])

    @pytest.mark.parametrize("rows", [0, 1, 2])
    def test_a_last_line_without_an_end_is_told(self, tmp_path, rows):
        path = thunderstorm(tmp_path, *ROWS[:rows], end="")
        with pytest.warns(fusion.TruncatedFileWarning, match="its last line has no end"):
            ds = volumes.open(path)
        assert ds.sizes == {"point": rows}
        assert ds.attrs["truncated"].startswith("its last line has no end")

    @pytest.mark.parametrize(
        ("titles", "row", "reason"),
        [
            ('"frame","x [nm]"', "1,2", "no column for y"),
            ('"x [nm]","y [nm]"', "1,2", "no column for anything but the positions"),
            ('"frame","x [nm]","y [nm]"', "1,2,3,4", "the rows have 4 numbers where the titles name 3"),
            ('"frame","x [nm]","y [nm]"', "1,2,", "a row is damaged"),
            ('"frame","x [nm]","y [nm]"', "1,two,3", "a position is no number"),
            ('"frame","x [nm]","y [nm]","x [um]"', "1,2,3,4", "two columns are called 'x'"),
            ('"frame","x [nm]","y [zork]","intensity [photon]"', "1,2,3,4", "'y .zork.' has a unit that is not known"),
        ],
    )
    def test_damage_is_named(self, tmp_path, titles, row, reason):
        with pytest.raises(FileReadError, match=reason):
            volumes.open(thunderstorm(tmp_path, row, titles=titles))

    @pytest.mark.parametrize("unit", ["ADU", "photon/pixel^2.5?", "\\u263a"])
    def test_a_column_of_an_unknown_unit_is_left_out_with_the_reason(self, tmp_path, unit):
        titles = f'"frame","x [\\u00b5m]","y [nm]","intensity [{unit}]","sigma [nm]"'
        path = thunderstorm(tmp_path, "1,2,3,4,130", titles=titles)
        ds = volumes.open(path)
        assert (ds["x"].item(), ds["psf_sigma"].item()) == pytest.approx((2.0, 0.13))
        assert "photons" not in ds
        assert "a unit that is not known" in ds.attrs["left_out"]
        assert [one.technique for one in volumes.contents(path)].count("unreadable") == 1

    @pytest.mark.parametrize(
        "text",
        [
            "# exported\n# by a program\nid,x [nm],y [nm],sigma [nm]\n1,1000,2000,\n2,3000,4000,130\n",
            "sep=;\r\nid;x [nm];y [nm];sigma [nm]\r\n1;1000,0;2000,0;\r\n2;3000;4000;130\r\n",
            '"id", "x [nm]", "y [nm]", "sigma [nm]"\r1, 1000, 2000, \r2, 3000, 4000, 130\r',
            "id\tx[nm]\ty[nm]\tsigma[nm]\n1\t1e3\t2e3\t\n2\t3e3\t4e3\t130\n",
        ],
    )
    def test_tables_of_other_programs(self, tmp_path, text):
        (tmp_path / "a.csv").write_bytes(text.encode())
        ds = volumes.open(tmp_path / "a.csv")
        np.testing.assert_allclose(ds["x"], [1.0, 3.0])
        np.testing.assert_allclose(ds["psf_sigma"], [np.nan, 0.13])
        assert "truncated" not in ds.attrs

    @pytest.mark.parametrize(
        "titles",
        ["frame,X [nm],Y [nm]", "frame,x_nm,y_nm", "frame,X (nm),Y (nm)", "frame,x/nm,y/nm", "frame,xnm,ynm",
         "Frame,Position X [nm],Position Y [nm]", "frame,x in nm,y in nm"],
    )  # fmt: skip
    def test_titles_of_other_programs(self, tmp_path, titles):
        ds = volumes.open(thunderstorm(tmp_path, "1,1000,2000,0.5", titles=f"{titles},Precision [nm]"))
        assert [ds[name].item() for name in ("x", "y", "x_stderr")] == pytest.approx([1.0, 2.0, 0.0005])
        assert ds["frame_number"].item() == 1

    def test_a_column_of_words_is_left_out_with_the_reason(self, tmp_path):
        rows = ['1,1000,2000,"cell, living",NA', "2,3000,4000,cell,5"]
        path = thunderstorm(tmp_path, *rows, titles="frame,x [nm],y [nm],where,intensity [photon]")
        ds = volumes.open(path)
        np.testing.assert_allclose(ds["x"], [1.0, 3.0])
        np.testing.assert_allclose(ds["photons"], [np.nan, 5.0])
        assert ds.attrs["left_out"] == "where: the column 'where' holds words, such as 'cell, living'"
        with pytest.raises(FileReadError, match="holds words"):
            volumes.open(path, name="where")

    def test_a_table_of_voltages_is_none_of_localisations(self, tmp_path):
        path = thunderstorm(tmp_path, "1,2,0.5,3", titles="x [um],y [um],potential [V],current [nA]")
        with pytest.raises(FileReadError, match="unknown format"):
            volumes.open(path)

    def test_positions_in_pixels_need_the_size_of_one(self, tmp_path):
        path = thunderstorm(tmp_path, "1,2,3,0.5", titles='"frame","x [px]","y [px]","uncertainty [px]"')
        with pytest.raises(FileReadError, match="camera pixels"):
            volumes.open(path)
        ds = volumes.open(path, voxel=100, units="nm")
        assert [ds[name].item() for name in ("x", "y", "x_stderr")] == pytest.approx([0.2, 0.3, 0.05])

    @pytest.mark.parametrize("option", [{"dims": ("y", "x")}, {"labels": True}, {"voxel": "10 nm"}, {"units": "nm"}])
    def test_what_cannot_apply_is_refused(self, tmp_path, option):
        with pytest.raises(FileReadError, match=f"{next(iter(option))} cannot apply"):
            volumes.open(thunderstorm(tmp_path, *ROWS), **option)


class TestSmap:
    def test_the_values_are_those_of_the_file(self, measured):
        path = measured("smlm/smap_dstorm_data.mat")
        ds = fusion.check(volumes.open(path))
        assert ds.sizes == {"point": 4884}
        with h5py.File(path) as file:
            stored = {key: item[()].astype(float).ravel() for key, item in file["saveloc/loc"].items()}
        pairs = {"x": "xnm", "y": "ynm", "z": "znm", "x_stderr": "xnmerr", "y_stderr": "ynmerr",
                 "z_stderr": "locprecznm", "psf_sigma_x": "PSFxnm"}  # fmt: skip
        for name, key in pairs.items():
            np.testing.assert_allclose(ds[name], stored[key] / 1000, rtol=1e-12, err_msg=name)
            assert ds[name].attrs["units"] == "um"
        for name, key in {"photons": "phot", "photons_stderr": "photerr", "frame_number": "frame"}.items():
            np.testing.assert_array_equal(ds[name], stored[key])
        assert ds["photons"].attrs["ancillary_variables"] == "photons_stderr"
        assert ds["y"].values.max() < 256 * 0.104

    def test_other_matlab_files_are_read_as_before(self, tmp_path):
        path = tmp_path / "image.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file["image"] = np.zeros((3, 4))
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + path.read_bytes()[512:])
        assert volumes.contents(path)[0].shape == (4, 3)

    @pytest.mark.parametrize("size", [0, 1])
    def test_common_precision_and_empty_columns(self, tmp_path, size):
        path = tmp_path / "few.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            for key, value in {"xnm": 100, "ynm": 200, "locprecnm": 7, "phot": 900}.items():
                file[f"saveloc/loc/{key}"] = np.full((1, 1), value, "f4") if size else np.array([0, 0], "u8")
                if not size:
                    file[f"saveloc/loc/{key}"].attrs["MATLAB_empty"] = 1
            file["saveloc/loc/znm"] = np.array([0, 0], "u8")
            file["saveloc/loc/znm"].attrs["MATLAB_empty"] = 1
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + path.read_bytes()[512:])
        ds = volumes.open(path)
        assert ds.sizes == {"point": size}
        assert ("z" in ds.coords) == (size == 0)
        np.testing.assert_allclose(ds["y_stderr"], [0.007] * size)


class TestPicasso:
    @pytest.mark.parametrize("beside", [True, False])
    def test_the_last_pixel_size_counts(self, tmp_path, beside):
        path, table = picasso(tmp_path, pixel=130, beside=beside)
        ds = fusion.check(volumes.open(path))
        for name, key in {"x": "x", "y": "y", "x_stderr": "lpx", "y_stderr": "lpy", "psf_sigma_x": "sx"}.items():
            np.testing.assert_allclose(ds[name], table[key].astype(float) * 0.13, err_msg=name)
        np.testing.assert_allclose(ds["z"], table["z"] / 1000)
        np.testing.assert_array_equal(ds["photons"], table["photons"])
        np.testing.assert_array_equal(ds["frame_number"], table["frame"])

    def test_without_a_pixel_size_it_is_refused(self, tmp_path):
        path, table = picasso(tmp_path)
        with pytest.raises(FileReadError, match="voxel='104 nm'"):
            volumes.open(path)
        ds = volumes.open(path, voxel="104 nm")
        np.testing.assert_allclose(ds["x"], table["x"].astype(float) * 0.104)
        np.testing.assert_allclose(ds["x_stderr"], table["lpx"].astype(float) * 0.104)
        np.testing.assert_allclose(ds["z"], table["z"] / 1000)

    def test_a_pixel_size_that_is_none(self, tmp_path):
        path, _ = picasso(tmp_path, pixel="{a: 1}")
        with pytest.raises(ConspectusError, match="a size is"):
            volumes.open(path)

    def test_yaml_makes_no_objects(self, tmp_path):
        path, _ = picasso(tmp_path, pixel=130)
        path.with_suffix(".yaml").write_text("Pixelsize: !!python/object/apply:os.getpid []\n")
        with pytest.raises(FileReadError, match="damaged YAML"):
            volumes.open(path)

    def test_no_rows(self, tmp_path):
        path, _ = picasso(tmp_path, pixel=130, size=0)
        assert volumes.open(path).sizes == {"point": 0}


@pytest.mark.parametrize("kind", ["csv", "mat", "hdf5"])
def test_a_file_cut_short_is_never_opened(tmp_path, measured, kind):
    if kind == "csv":
        path = thunderstorm(tmp_path, *ROWS[:1] * 20)
    elif kind == "mat":
        path = measured("smlm/smap_dstorm_data.mat")
    else:
        path, _ = picasso(tmp_path, pixel=130, beside=False, size=1000)
    content = path.read_bytes()
    cut = tmp_path / f"cut.{kind}"
    for tenth in range(10):
        cut.write_bytes(content[: len(content) * tenth // 10 + 5])
        assert kind != "csv" or not cut.read_bytes().endswith(b"\n")
        with pytest.raises((FileReadError, fusion.TruncatedFileWarning)):
            volumes.open(cut)
