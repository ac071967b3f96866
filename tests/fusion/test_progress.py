"""Bars of long work: when they appear, where, and that nothing of them stays."""

import os
import pty
import subprocess
import sys
import threading

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import fusion
import spectra
from fusion.progress import Work, bar, counted, shown_by


class Recorder:
    """Keeps what a bar shows."""

    def __init__(self, work: Work) -> None:
        self.work, self.done, self.closed = work, [], False

    def to(self, done: float) -> None:
        self.done.append(done)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def lines(monkeypatch):
    """Bars that appear at once, in the order in which they do."""
    shown = []
    monkeypatch.setattr("fusion.progress._DELAY", -1.0)
    with shown_by(lambda work: shown.append(Recorder(work)) or shown[-1]):
        yield shown


def test_items_are_counted(lines):
    assert list(counted(np.array([4, 5]), "square", "numbers")) == [4, 5]
    assert list(counted(iter("abc"), "read", "letters", 3)) == ["a", "b", "c"]
    assert [(line.work, line.done, line.closed) for line in lines] == [
        (Work("square", "numbers", 2), [1, 2], True),
        (Work("read", "letters", 3), [1, 2, 3], True),
    ]


def test_work_within_work_shows_no_bar_of_its_own(lines):
    for _ in counted(range(2), "outer", "rounds"):
        list(counted(range(3), "inner", "rounds"))
    assert [line.work.name for line in lines] == ["outer"]


def interrupted():
    with bar("save", "blocks", 3) as to:
        to(1)
        raise KeyboardInterrupt


def test_a_bar_goes_when_work_ends_early_or_fails(lines):
    for n in counted(range(5), "search", "angles"):
        if n == 1:
            break
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    list(counted(range(1), "next", "rounds"))
    assert [(line.work.name, line.closed) for line in lines] == [("search", True), ("save", True), ("next", True)]


def test_threads_show_no_bars(lines):
    thread = threading.Thread(target=lambda: list(counted(range(3), "block", "slabs")))
    thread.start()
    thread.join()
    assert not lines


def test_short_work_shows_no_bar():
    shown = []
    with shown_by(lambda work: shown.append(work) or Recorder(work)):
        list(counted(range(3), "add", "numbers"))
    assert not shown


def test_long_work_of_the_packages_shows_bars(lines, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.poisson(rng.gamma(1.0, 4.0, (8, 9, 2)) @ rng.uniform(0.0, 5.0, (2, 16))).astype(np.float32)
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0), "energy": fusion.Axis("keV", 0.1)}
    ds = fusion.dataset({"counts": (("y", "x", "energy"), values)}, axes, name="map", cell_methods="sum")
    parts = spectra.decompose(ds, 2)
    spectra.bootstrap(parts, draws=2)
    spectra.stability(ds, 2, seeds=2)
    fusion.save(ds.chunk({"y": 4}), tmp_path / "map.nc")
    names = [(line.work.name, line.work.unit) for line in lines]
    for expected in [("factorise", "rounds"), ("bootstrap", "draws"), ("stability", "runs"), ("save", "%")]:
        assert expected in names
    assert all(line.closed for line in lines)


SLOW = "from fusion.progress import counted\nimport fusion.progress as p\nimport time\np._DELAY = -1.0\n"
SLOW += "for n in counted(range(3), 'decompose', 'rounds'):\n    time.sleep(0.1)\n"


def test_a_terminal_shows_a_bar_and_nothing_of_it_stays():
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    run = subprocess.run([sys.executable, "-c", SLOW + "print('end')"], stdout=subprocess.PIPE, stderr=theirs,
                         env=environment, check=True)  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert run.stdout == b"end\n"
    assert "decompose" in shown
    assert "rounds" in shown
    assert shown.rstrip().endswith("\x1b[2K")  # the line is erased
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # and the cursor is there again


def test_nothing_is_shown_where_output_is_piped():
    run = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


class Listener(NotebookClient):
    """Keeps the HTML that a kernel sends on the way."""

    def process_message(self, message, *rest):
        self.__dict__.setdefault("sent", []).append(message["content"].get("data", {}).get("text/html", ""))
        return super().process_message(message, *rest)


def test_a_notebook_keeps_no_bar():
    cell = nbformat.v4.new_code_cell(SLOW)
    client = Listener(nbformat.v4.new_notebook(cells=[cell]))
    client.execute()
    assert any("<progress" in html and "rounds" in html for html in client.sent)
    (output,) = cell.outputs
    assert output["data"]["text/html"] == ""
