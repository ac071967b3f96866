"""Text formats of spectra that are cut short: refused before their readers make do with what is there."""

import numpy as np
import pytest

import spectra
import volumes
from fusion import FileReadError
from tests.makers import made


def test_msa_needs_its_last_keyword(tmp_path):
    path = made.written("MSA", tmp_path).path
    assert next(iter(spectra.open(path).data_vars.values())).size == 60
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"#ENDOFDATA")])
    with pytest.raises(FileReadError, match="cut short"):
        spectra.open(path)


def test_ripple_values_that_end_early_are_refused(tmp_path):
    path = made.written("Ripple rpl", tmp_path).path
    np.testing.assert_array_equal(spectra.open(path)["intensity"], np.arange(60).reshape(3, 20))
    values = path.with_suffix(".raw")
    values.write_bytes(values.read_bytes()[:-1])
    with pytest.raises(FileReadError, match=r"made.raw: cut short: 239 of at least 240 bytes"):
        spectra.open(path)


def test_ripple_header_that_ends_within_a_line_is_refused(tmp_path):
    path = made.written("Ripple rpl", tmp_path).path
    path.write_bytes(path.read_bytes().rstrip())
    with pytest.raises(FileReadError, match="cut short"):
        spectra.open(path)


def test_an_error_of_the_file_names_it_whatever_its_class(tmp_path):
    path = made.written("Nanosurf nid", tmp_path).path
    path.write_bytes(path.read_bytes().replace(b"Dim0Range=4e-06", b"Dim0Range=0"))
    with pytest.raises(FileReadError, match=r"made.nid: .*do not ascend"):
        volumes.open(path)
