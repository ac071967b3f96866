"""Damaged and hostile files of light microscopes, and libraries that are not installed."""

import subprocess
import sys

import pytest

import volumes
from fusion.errors import FileReadError
from tests.makers.light import (
    BOMB,
    LENGTHS,
    STACK,
    lif_image,
    values,
    write_czi,
    write_lif,
    write_nd2,
)

WRITERS = {
    "czi": lambda path: write_czi(path, values(1, 3, 2, 50, 70)),
    "lif": lambda path: write_lif(path, *(lif_image(n, values(3, 2, 50, 70), "zcyx", LENGTHS) for n in ("a", "b"))),
    "nd2": lambda path: write_nd2(path, values(3, 50, 70, 1), loops=[STACK]),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_cut_short_is_never_opened(tmp_path, kind):
    content = WRITERS[kind](tmp_path / f"whole.{kind}").read_bytes()
    cut = tmp_path / f"cut.{kind}"
    for tenth in range(10):
        cut.write_bytes(content[: len(content) * tenth // 10 + 1])
        with pytest.raises(FileReadError):
            volumes.open(cut)
        with pytest.raises(FileReadError):
            volumes.contents(cut)


@pytest.mark.parametrize("kind", WRITERS)
def test_flipped_bytes_do_no_more_than_raise(tmp_path, kind):
    """In a process of its own, since a library in C++ might end it."""
    WRITERS[kind](tmp_path / f"whole.{kind}")
    code = (
        "import random, sys, warnings, volumes; from pathlib import Path; from fusion.errors import FileReadError\n"
        "warnings.simplefilter('ignore'); random.seed(0); content = Path(sys.argv[1]).read_bytes()\n"
        "for _ in range(30):\n"
        "    damaged = bytearray(content)\n"
        "    for at in random.sample(range(len(content)), 20): damaged[at] ^= 255\n"
        "    Path(sys.argv[2]).write_bytes(damaged)\n"
        "    try: volumes.contents(sys.argv[2])\n"
        "    except FileReadError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(("kind", "library"), [("czi", "pylibCZIrw"), ("lif", "liffile"), ("nd2", "nd2")])
def test_a_missing_library_is_named(tmp_path, monkeypatch, direct, kind, library):
    path = WRITERS[kind](tmp_path / f"whole.{kind}")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(FileReadError, match=rf"read by {library}, .* pip install conspectus\[lm\]"):
        volumes.open(path)


def test_a_header_that_blows_up_is_refused(tmp_path):
    xml, *rest = lif_image("cell", values(5, 7), "yx", LENGTHS)
    image = (xml.replace("<ImageDescription>", "<ImageDescription><Note>&j;</Note>"), *rest)
    with pytest.raises(FileReadError, match="damaged"):
        volumes.open(write_lif(tmp_path / "bomb.lif", image, head=BOMB))


def test_a_header_does_not_fetch_files(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("42")
    xml, *rest = lif_image("cell", values(5, 7), "yx", LENGTHS)
    image = (xml.replace("<ImageDescription>", "<ImageDescription><Note>&s;</Note>"), *rest)
    head = f'<!DOCTYPE b [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'
    with pytest.raises(FileReadError):
        volumes.open(write_lif(tmp_path / "leak.lif", image, head=head))
