"""The page of formats: what the command writes, and that each technique has a format that is shown."""

import ast
import re
from pathlib import Path

import pytest

from conspectus import cli
from conspectus.pages import formats
from fusion import DataError
from fusion.techniques.catalogue import find, table

ROOT = Path(__file__).parents[2]
OPERANDO = "operando"  # a way to measure with many techniques, and none of the table


@pytest.mark.filterwarnings("ignore:.*the measurement was stopped:fusion.TruncatedFileWarning")
def test_the_committed_page_is_what_the_command_writes(measured, tmp_path):
    for name in formats.entries():
        measured(name)
    assert cli.main(["formats", "--page", str(tmp_path / "formats.md")]) == 0
    written = (tmp_path / "formats.md").read_text(encoding="utf-8")
    again = "run: conspectus formats --page docs/formats.md"
    assert written == (ROOT / "docs" / "formats.md").read_text(encoding="utf-8"), again
    for name in formats.entries():
        assert f"| {name} |" in written
    for line in written.splitlines():
        assert not line.startswith("|") or line.count("|") in {3, 4, 9}, line


def test_the_command_lists_formats_and_refuses_other_pages(capsys, tmp_path):
    assert cli.main(["formats"]) == 0
    assert "EPICS MDA" in capsys.readouterr().out
    assert cli.main(["formats", "--page", str(tmp_path / "page.txt")]) == 2
    assert "ends in .md" in capsys.readouterr().err


def test_the_table_of_techniques_names_the_same_formats():
    named = {format_ for technique in table().values() for format_ in technique.formats}
    said = formats.by_technique()
    assert named <= {format_ for names in said.values() for format_ in names}
    for word, names in said.items():
        meant = find(word) if word != OPERANDO else ()
        for technique in meant if len(meant) < 3 else ():
            assert set(names) <= set(technique.formats), (word, technique.name)


GENERATED = [(name, test) for name, row in formats.content()["generated"].items() for test in row.values()]


@pytest.mark.parametrize(("name", "test"), sorted(set(GENERATED)))
def test_formats_without_a_measured_file_have_a_test(name, test):
    """It is there, and its file speaks of the format."""
    file, *within = test.split("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    body = ast.parse(text).body
    for part in within:
        found = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part]
        assert found, f"{test}: no {part}"
        body = found[0].body
    assert isinstance(found[0], ast.FunctionDef)
    assert max(re.split(r"\W", name), key=len).casefold().rstrip("s") in text.casefold(), name


def test_each_technique_has_a_format_that_is_shown():
    """By a measured file or by a test that writes one; what only another library tests is not enough."""
    said = [entry.technique for entry in formats.entries().values()]
    said += [word for row in formats.content()["generated"].values() for word in row]
    assert {technique.name for word in said if word != OPERANDO for technique in find(word)} == set(table())
    assert OPERANDO in said


@pytest.mark.parametrize("word", ["STM", "TIRF", "SIM", "light sheet", "multiphoton", "mass spectrometry"])
def test_a_technique_without_figures_is_told_as_such(word):
    with pytest.raises(DataError, match=f"'{word}' is known, but the table has no figures"):
        find(word)
