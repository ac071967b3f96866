"""The table of X-ray lines: it is eXspy's, and it is read without the seconds that importing eXspy takes."""

import subprocess
import sys

import pytest

from spectra.lines import xrays
from spectra.quiet import register_exspy


def test_the_table_is_that_of_exspy() -> None:
    register_exspy()
    from exspy.material import elements

    table = elements.as_dictionary()
    read = xrays._elements()
    assert {key: table[key] for key in read} == read
    assert len(read) > 90
    assert xrays.atomic_weight("Fe") == pytest.approx(55.845, abs=0.01)


def test_a_line_is_known_without_importing_exspy() -> None:
    code = "import sys; from spectra.lines.xrays import xray_line; xray_line('Fe_Ka'); sys.exit('exspy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
