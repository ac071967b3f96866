"""Text formats of spectra that are cut short: refused before their readers make do with what is there."""

import numpy as np
import pytest

import spectra
import volumes
from fusion import FileReadError, TruncatedFileWarning
from tests.makers import made


def test_msa_without_its_last_keyword_is_read_with_a_warning_if_all_channels_are_there(tmp_path):
    path = made.written("MSA", tmp_path).path
    values = next(iter(spectra.open(path).data_vars.values())).values
    content = path.read_bytes()
    rows = content[: content.index(b"#ENDOFDATA")]
    for ending, more in ((rows, ""), (rows.rstrip(), "may be cut")):
        path.write_bytes(ending)
        with pytest.warns(TruncatedFileWarning, match=f"not the keyword #ENDOFDATA.*{more}"):
            ds = spectra.open(path)
        np.testing.assert_array_equal(next(iter(ds.data_vars.values())), values)
        assert more in ds.attrs["truncated"]
    path.write_bytes(rows.rstrip().rpartition(b"\n")[0] + b"\n")
    with pytest.raises(FileReadError, match=r"cut short: \d+ of 60 channels and no #ENDOFDATA; copy or export"):
        spectra.open(path)


def test_ripple_values_that_end_early_are_refused(tmp_path):
    path = made.written("Ripple rpl", tmp_path).path
    np.testing.assert_array_equal(spectra.open(path)["intensity"], np.arange(60).reshape(3, 20))
    values = path.with_suffix(".raw")
    values.write_bytes(values.read_bytes()[:-1])
    with pytest.raises(FileReadError, match=r"made.raw: cut short: 239 of at least 240 bytes"):
        spectra.open(path)


@pytest.mark.parametrize("last", ["record-by\tvector", "data-type\tfloat", "width\t3", "height\t1"])
def test_a_ripple_header_without_its_last_newline_is_complete_where_its_last_line_is(tmp_path, last):
    path = made.written("Ripple rpl", tmp_path).path
    lines = [line for line in path.read_text().splitlines() if line != last]
    path.write_text("\n".join([*lines, last]))
    ds = spectra.open(path)
    np.testing.assert_array_equal(ds["intensity"], np.arange(60).reshape(3, 20))
    assert "truncated" not in ds.attrs


@pytest.mark.parametrize("last", ["signal\tEDS_SEM", "depth-scale\t0.5", "title\tmade"])
def test_a_ripple_header_whose_last_line_may_be_cut_says_so(tmp_path, last):
    path = made.written("Ripple rpl", tmp_path).path
    lines = [line for line in path.read_text().splitlines() if line != last]
    path.write_text("\n".join([*lines, last]))
    with pytest.warns(TruncatedFileWarning, match="last line of its header has no end"):
        assert "truncated" in spectra.open(path).attrs


def test_a_ripple_header_that_ends_within_a_size_is_refused(tmp_path):
    path = made.written("Ripple rpl", tmp_path).path
    lines = [line for line in path.read_text().splitlines() if not line.startswith("depth\t")]
    path.write_text("\n".join([*lines, "depth\t2"]))
    with pytest.raises(FileReadError, match="cut short within its last line, depth"):
        spectra.open(path)


def test_an_error_of_the_file_names_it_whatever_its_class(tmp_path):
    path = made.written("Nanosurf nid", tmp_path).path
    path.write_bytes(path.read_bytes().replace(b"Dim0Range=4e-06", b"Dim0Range=0"))
    with pytest.raises(FileReadError, match=r"made.nid: .*do not ascend"):
        volumes.open(path)
