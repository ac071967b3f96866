"""A file is read in a process of its own: whatever happens there is an error here, and nothing else."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
import xarray as xr

import fusion
from fusion.errors import UnknownFormatError
from fusion.isolation import sandbox, wire
from tests.makers import misbehaving

pytestmark = pytest.mark.skipif(not sandbox.AVAILABLE, reason="no process can be forked on this system")


def failure(function, *arguments, file="map.bcf"):
    with pytest.raises(fusion.FileReadError) as caught:
        sandbox.run(function, *arguments, file=file)
    assert Path(caught.value.path).name == Path(file).name
    return caught.value


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (misbehaving.crash, "crashed (SIGSEGV)"),
        (misbehaving.leave, "ended without an answer"),
        (misbehaving.fail, "ZeroDivisionError: no pixels"),
        (misbehaving.devour, "GB of memory"),
        (misbehaving.unpickle, "pickle.find_class is not allowed"),
        (misbehaving.multiply, "os.fork is not allowed"),
        (misbehaving.call_out, "socket.__new__ is not allowed"),
        (misbehaving.be_killed, "crashed (SIGKILL)"),
        (misbehaving.chatter, "an answer that is too long"),
        (misbehaving.nest, "RecursionError"),
    ],
)
def test_what_happens_to_the_reader_is_an_error_here(function, said):
    error = failure(function)
    assert said in error.reason
    assert error.hint


@pytest.mark.parametrize("function", [misbehaving.hang, misbehaving.hang_in_c])
def test_a_reader_that_hangs_is_stopped_wherever_it_is(function):
    with fusion.limits(seconds=0.3):
        error = failure(function)
    assert "longer than 0.3 s" in error.reason
    assert "fusion.limits(seconds=...)" in error.hint


def test_values_beyond_the_limit_of_output_are_refused():
    with fusion.limits(memory=2**25):
        assert "0.0336 GB of memory" in failure(misbehaving.flood).reason
    assert sandbox.run(misbehaving.flood, file="map.bcf").nbytes == 2**26


def test_memory_is_limited_by_what_the_user_says():
    with fusion.limits(memory=10 * 2**20):
        assert "0.0105 GB" in failure(misbehaving.devour).reason


@pytest.mark.parametrize(
    ("kind", "error"),
    [("file", fusion.FileReadError), ("convention", fusion.ConventionError), ("unit", fusion.UnitError)],
)
def test_errors_of_this_project_arrive_as_they_were_raised(kind, error):
    with pytest.raises(error) as here:
        misbehaving.refuse(kind)
    with pytest.raises(error) as there:
        sandbox.run(misbehaving.refuse, kind, file="map.bcf")
    assert str(there.value) == str(here.value)
    assert vars(there.value).keys() == vars(here.value).keys()


def test_warnings_arrive():
    with pytest.warns(UserWarning, match="two spellings"):
        assert sandbox.run(misbehaving.grumble, file="map.bcf") == "read"


def test_a_reader_starts_no_program(tmp_path):
    mark = tmp_path / "mark"
    assert "os.system is not allowed" in failure(misbehaving.start_a_program, str(mark)).reason
    assert not mark.exists()


def test_a_reader_sees_its_own_folder_only(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "map.hdr").write_text("width 3")
    (tmp_path / "secret").write_text("password")
    file = tmp_path / "here" / "map.raw"
    assert sandbox.run(misbehaving.read, str(tmp_path / "here" / "map.hdr"), file=file) == "width 3"
    assert "may not be read" in failure(misbehaving.read, str(tmp_path / "secret"), file=file).reason
    (tmp_path / "here" / "link").symlink_to(tmp_path / "secret")
    assert "may not be read" in failure(misbehaving.read, str(tmp_path / "here" / "link"), file=file).reason


@pytest.mark.parametrize("place", ["/etc/passwd", "/proc/self/environ", "/proc/{}/environ"])
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is that of Linux")
def test_a_reader_learns_no_secrets_of_the_system(place):
    assert "may not be read" in failure(misbehaving.read, place.format(os.getpid())).reason


def test_a_reader_makes_no_folder(tmp_path):
    assert "os.mkdir is not allowed" in failure(misbehaving.make_a_folder, str(tmp_path / "a")).reason
    assert not (tmp_path / "a").exists()


def test_no_room_for_values_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert "no process could be started" in failure(divmod, 7, 3).reason


def test_values_go_to_memory_where_it_has_room_and_to_disk_else(monkeypatch, tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))
    monkeypatch.setattr(sandbox, "_MEMORY", tmp_path / "memory")
    assert sandbox._room(2**20)[0].parent.name == "memory"
    place, most = sandbox._room(2**62)
    assert (place.parent.name, most) == ("disk", 2**62)


def test_a_fork_of_this_process_leaves_the_worker_alone(tmp_path):
    """As multiprocessing forks: the child opens the file anew, and what it removes at its end is its own."""
    script = tmp_path / "mine.py"
    script.write_text(
        "import os, sys, fusion.isolation.sandbox as s\n"
        "from tests.makers import misbehaving\n"
        "ds = s.run(misbehaving.volume, True, file='x')\n"
        "child = os.fork()\n"
        "print(float(ds['image'][2, 3, 4]), flush=True)\n"
        "if not child: sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(float(ds['image'][1, 3, 4]))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", script], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.split() == ["234.0", "234.0", "134.0"]


def test_many_lazy_files_are_open_at_once():
    opened = partial(sandbox.run, misbehaving.volume, True, file="map.bcf", prepare=misbehaving.prepare)
    assert [float(ds["image"][2, 3, 4]) for ds in [opened() for _ in range(40)]] == [234.0] * 40


def test_an_error_of_a_file_travels_between_processes():
    error = pickle.loads(pickle.dumps(fusion.FileReadError("map.bcf", "cut short", hint="copy it again")))
    assert (str(error), error.hint) == ("map.bcf: cut short; copy it again", "copy it again")
    faults = pickle.loads(pickle.dumps(fusion.ConventionError(["y: no units", "x: no units"]))).faults
    assert faults == ("y: no units", "x: no units")


def test_a_reader_writes_nowhere(tmp_path):
    target = tmp_path / "map.raw"
    assert "may not be written" in failure(misbehaving.write, str(target), file=target).reason
    assert not target.exists()


@pytest.mark.parametrize("lazy", [False, True])
def test_a_dataset_arrives_as_it_is(lazy):
    sent = misbehaving.volume(lazy)
    arrived = sandbox.run(misbehaving.volume, lazy, file="map.bcf")
    assert (arrived["image"].chunks is not None) == lazy
    assert arrived["image"].chunks == sent["image"].chunks
    xr.testing.assert_identical(arrived.compute(), sent.compute())
    assert arrived["image"].values[2, 3, 4] == 234.0
    assert fusion.check(arrived) is arrived


def test_values_can_be_changed_and_outlive_the_reader():
    arrived = sandbox.run(misbehaving.volume, False, file="map.bcf")
    arrived["image"].values[0, 0, 0] = -1.0
    assert arrived["image"].values[0, 0, 0] == -1.0
    assert sandbox.run(misbehaving.volume, False, file="map.bcf")["image"].values[0, 0, 0] == 0.0


def test_blocks_are_read_by_many_threads_at_once():
    arrived = sandbox.run(misbehaving.volume, True, file="map.bcf")
    with dask.config.set(scheduler="threads", num_workers=8):
        for _ in range(5):
            np.testing.assert_array_equal(arrived["image"].values, misbehaving.volume(False)["image"].values)
    np.testing.assert_array_equal(arrived["image"][::2, 1:, ::-1].values[1, 2], [234.0, 233.0, 232.0, 231.0, 230.0])


def test_files_are_opened_by_many_threads_at_once():
    with ThreadPoolExecutor(8) as pool:
        processes = list(pool.map(lambda _: sandbox.run(misbehaving.process, file="map.bcf"), range(24)))
    assert len(set(processes)) == 24


def test_a_lazy_dataset_that_is_sent_elsewhere_opens_its_file_again():
    arrived = sandbox.run(misbehaving.volume, True, file="map.bcf")
    again = pickle.loads(pickle.dumps(arrived))
    del arrived
    assert float(again["image"][2, 3, 4]) == 234.0


def test_a_file_larger_than_the_memory_stays_lazy(tmp_path):
    path = tmp_path / "large.raw"
    with path.open("wb") as stream:
        stream.seek(5000 * 2**20 + 3 * 2**10 + 4)
        stream.write(b"\7")
        stream.truncate(2**33)
    with fusion.limits(memory=2**28):
        arrived = sandbox.run(misbehaving.mapped, str(path), file=path)
        assert arrived["image"].nbytes == 2**33
        assert int(arrived["image"][5000, 3, 4]) == 7
        assert int(arrived["image"][4999:5002].sum()) == 7


def test_a_crash_while_a_block_is_read_is_an_error_and_other_blocks_can_still_be_read():
    arrived = sandbox.run(misbehaving.volume_then_crash, file="map.bcf")
    assert float(arrived["image"][0, 3, 4]) == 34.0
    with pytest.raises(fusion.FileReadError, match="SIGSEGV"):
        arrived["image"].compute()
    assert float(arrived["image"][2, 3, 4]) == 234.0


def test_no_process_and_no_file_stays_behind():
    arrived = sandbox.run(misbehaving.volume, True, file="map.bcf")
    float(arrived["image"][2, 3, 4])
    server = psutil.Process(sandbox._server().process.pid)
    places = [sandbox._MEMORY, Path(tempfile.gettempdir())]
    spools = {spool for place in places for spool in place.glob("conspectus-*")}
    assert server.children(recursive=True)
    del arrived
    gc.collect()
    deadline = time.monotonic() + 20
    while server.children(recursive=True) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not server.children(recursive=True)
    assert sum(spool.exists() for spool in spools) < len(spools)


def test_an_interrupt_stops_the_reader_at_once():
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.run(misbehaving.hang, file="map.bcf")
    timer.join()
    server = psutil.Process(sandbox._server().process.pid)
    deadline = time.monotonic() + 20
    while server.children(recursive=True) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not server.children(recursive=True)
    assert sandbox.run(divmod, 7, 3, file="map.bcf") == [2, 1]


def test_a_worker_that_was_killed_while_it_waited_is_started_again():
    arrived = sandbox.run(misbehaving.volume, True, file="map.bcf")
    worker = next(part.worker for part in arrived["image"].data.dask.values() if hasattr(part, "worker"))
    process = psutil.Process(worker.process)
    process.kill()
    psutil.wait_procs([process], timeout=20)
    assert float(arrived["image"][2, 3, 4]) == 234.0
    assert float(arrived["image"][1, 3, 4]) == 134.0


def test_a_server_that_was_killed_is_started_again():
    sandbox.run(divmod, 7, 3, file="map.bcf")
    first = sandbox._server().process
    first.kill()
    first.wait()
    assert sandbox.run(divmod, 7, 3, file="map.bcf") == [2, 1]
    assert sandbox._server().process.pid != first.pid


def test_the_server_ends_with_the_program_even_if_that_is_killed():
    code = (
        "import os, fusion.isolation.sandbox as s; s.run(divmod, 7, 3, file='x');"
        "print(s._server().process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(done.stdout))


def test_a_script_without_a_guard_of_its_main_part_can_open_files(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("import fusion.isolation.sandbox as s\nprint(s.run(divmod, 7, 3, file='x'))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout == "[2, 1]\n"


def test_reading_directly_is_possible_for_finding_faults():
    with fusion.limits(direct=True):
        assert sandbox.run(misbehaving.process, file="map.bcf") == os.getpid()
    assert sandbox.run(misbehaving.process, file="map.bcf") != os.getpid()


def test_nothing_stays_behind_of_a_program_that_was_killed(tmp_path):
    code = (
        "import os, fusion.isolation.sandbox as s; from tests.makers import misbehaving;"
        "ds = s.run(misbehaving.volume, True, file='x'); parts = ds['image'].data.dask.values();"
        "print(*(v.worker.spool for v in parts if hasattr(v, 'worker')), flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    place = Path(done.stdout.split()[0])
    assert place.name.startswith("conspectus-")
    deadline = time.monotonic() + 20
    while place.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not place.exists()


def test_an_unknown_format_stays_one_across_processes():
    error = wire.unpack_error(wire.pack_error(UnknownFormatError("a.xyz", "unknown format", hint="export it")))
    assert type(error) is UnknownFormatError
    assert (error.reason, error.hint) == ("unknown format", "export it")
    assert type(pickle.loads(pickle.dumps(error))) is UnknownFormatError
