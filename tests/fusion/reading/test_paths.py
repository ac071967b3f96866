"""What a path can be besides a file: each is one error of this project, at once."""

import os
import subprocess
import sys

import pytest

import fusion
from conspectus import cli
from fusion.reading.paths import existing


@pytest.fixture
def odd(tmp_path, monkeypatch):
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    (tmp_path / "dangling.tif").symlink_to("nothing.tif")
    (tmp_path / "file.tif").write_bytes(b"II*\0")
    os.mkfifo(tmp_path / "pipe.tif")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("loop.tif", "the system does not show it"),
        ("dangling.tif", "there is no such file; check the path, seen from "),
        ("file.tif/inside.tif", "there is no such file"),
        ("pipe.tif", "this is a pipe or a device; write what it gives to a file"),
        ("/dev/zero", "this is a pipe or a device"),
        ("x" * 300, "the system does not show it"),
        ("nul\0.tif", "the system does not show it|no such file"),
    ],
)
def test_what_is_no_file_is_refused_at_once(odd, name, reason):
    with pytest.raises(fusion.FileReadError, match=reason):
        existing(name)


def test_a_file_that_may_not_be_read_is_not_called_damaged(odd, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cli.main(["info", "file.tif"]) == 2
    assert "you may not read it; ask its owner" in capsys.readouterr().err


def test_a_working_directory_that_is_gone(tmp_path):
    code = (
        "import os, sys, fusion.reading.paths as p; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "try: p.existing('a.tif')\n"
        "except p.FileReadError as error: print(error)"
    )
    (tmp_path / "gone").mkdir()
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "gone"], capture_output=True, text=True, check=True)
    assert done.stdout == "a.tif: there is no such file; check the path; the working directory is gone\n"
