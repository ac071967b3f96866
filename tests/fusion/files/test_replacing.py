"""Never half written: an older file survives whatever happens, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pytest

import fusion
from fusion.files import writer
from fusion.files.blocks import BlockWriter
from tests.makers.datasets import rich, small, tree


def leftovers(folder: Path, *expected: str) -> list[str]:
    return sorted({item.name for item in folder.iterdir()} - set(expected))


def fail_on_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)


def fail_on_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)


def fail_on_the_last_group(monkeypatch: pytest.MonkeyPatch) -> None:
    add, paths = writer._Writer.add, []

    def full(self: Any, group: Any, path: str, ds: Any) -> None:
        paths.append(path)
        if len(paths) == 4:
            raise OSError(28, "No space left on device")
        add(self, group, path, ds)

    monkeypatch.setattr(writer._Writer, "add", full)


def spoil(monkeypatch: pytest.MonkeyPatch, damage: Callable[[h5py.File], None]) -> None:
    """Do something to the file between writing and reading back."""
    write = writer.write

    def careless(groups: Any, file: Any, *others: Any) -> None:
        write(groups, file, *others)
        with h5py.File(file, "r+") as hdf5:
            damage(hdf5)

    monkeypatch.setattr(writer, "write", careless)


def lose_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda hdf5: hdf5.__delitem__("fused/v"))


def change_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda hdf5: hdf5["fused/v"].write_direct(np.zeros((3, 4, 5), np.float32)))


def change_an_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda hdf5: hdf5["map"].attrs.modify("operator", "somebody"))


FAILURES = [
    fail_on_replace, fail_on_flush, fail_on_the_last_group, lose_a_variable, change_a_value, change_an_attribute,
]  # fmt: skip


@pytest.mark.parametrize("fail", FAILURES)
def test_an_older_file_survives_a_failure_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[pytest.MonkeyPatch], None]
) -> None:
    path = fusion.save(small(), tmp_path / "p.nc")
    before = path.read_bytes()
    fail(monkeypatch)
    with pytest.raises(fusion.StoreError):
        fusion.save(tree(), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert leftovers(tmp_path, "p.nc") == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_any_other_error_passes_through_and_the_older_file_survives(tmp_path: Path, error: type[BaseException]) -> None:
    def explode(block: np.ndarray) -> np.ndarray:
        raise error("in the middle of a lazy computation")

    path = fusion.save(small(), tmp_path / "p.nc")
    before = path.read_bytes()
    values = da.zeros((20, 30), chunks=10).map_blocks(explode, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(error):
        fusion.save(small(values), path)
    assert path.read_bytes() == before
    assert leftovers(tmp_path, "p.nc") == []


def test_a_lazy_block_that_was_not_written_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = BlockWriter.__setitem__

    def forgetful(self: Any, region: Any, values: Any) -> None:
        if region[0].start != 100:
            take(self, region, values)

    monkeypatch.setattr(BlockWriter, "__setitem__", forgetful)
    lazy = small(da.ones((400, 300), chunks=(100, 300)))
    with pytest.raises(fusion.StoreError, match="blocks were not written"):
        fusion.save(lazy, tmp_path / "holey.nc")
    assert leftovers(tmp_path) == []


FULL = """
import os, resource, signal, sys
import numpy as np
import fusion
from fusion import Axis

axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
values = np.random.default_rng(0).normal(size=(300, 300))
ds = fusion.dataset({"image": (("y", "x"), values)}, axes, name="new", cell_methods="mean")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for size in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        fusion.save(ds, sys.argv[1])
        print(size, "saved")
    except fusion.StoreError as error:
        print(size, "StoreError")
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a limit of file sizes")
def test_a_full_disk_is_an_error_and_nothing_else(tmp_path: Path) -> None:
    """The system refuses every byte beyond a size; HDF5 alone takes the process down where that happens."""
    path = fusion.save(small(), tmp_path / "p.nc")
    before = path.read_bytes()
    sizes = [0, 1, 47, 700, 4096, 20_000, 200_000, 600_000, 640_000]
    command = [sys.executable, "-c", FULL, str(path), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(fusion.__file__).parents[1], check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [word for size in sizes for word in (str(size), "StoreError")]
    assert path.read_bytes() == before
    assert leftovers(tmp_path, "p.nc") == []


ROOM = FULL.replace("np.random.default_rng(0).normal(size=(300, 300))", "np.zeros((300, 300))")


@pytest.mark.skipif(os.name == "nt", reason="needs a limit of file sizes")
def test_a_disk_needs_room_for_the_compressed_file_alone(tmp_path: Path) -> None:
    """Of 720 kB of zeros a few are left; no more is asked for."""
    command = [sys.executable, "-c", ROOM, str(tmp_path / "p.nc"), "60000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(fusion.__file__).parents[1], check=True)
    assert done.stdout.split() == ["60000", "saved"]


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
import fusion
from fusion import Axis
from fusion.files import sealing

def hang(file):
    Path(sys.argv[2]).touch()
    time.sleep(60)

sealing.seal = hang
axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0)}
ds = fusion.dataset({"image": (("y", "x"), np.ones((300, 300)))}, axes, name="new", cell_methods="mean")
fusion.save(ds, sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_an_older_file_survives_a_kill_half_way(tmp_path: Path) -> None:
    """The killed process leaves a partial file, which is kept while it runs and cleared at the next save."""
    folder, written = tmp_path / "data", tmp_path / "written"
    folder.mkdir()
    path = fusion.save(small(), folder / "p.nc")
    before = path.read_bytes()
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(path), str(written)], cwd=Path(fusion.__file__).parents[1]
    )
    try:
        while child.poll() is None and not written.exists():
            time.sleep(0.02)
        fusion.save(tree(), folder / "other.nc")
        assert len(leftovers(folder, "p.nc", "other.nc")) == 1
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    fusion.save(small(), folder / "third.nc")
    assert leftovers(folder, "p.nc", "other.nc", "third.nc") == []
    assert fusion.load(path).identical(small())


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes and links")
def test_mode_and_links_of_an_older_file_are_kept(tmp_path: Path) -> None:
    path = fusion.save(small(), tmp_path / "p.nc")
    path.chmod(0o640)
    link = tmp_path / "link.nc"
    link.symlink_to("p.nc")
    assert fusion.save(tree(), link) == link
    assert link.is_symlink()
    assert path.stat().st_mode & 0o7777 == 0o640
    assert fusion.load(path).identical(tree())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_an_older_file_is_kept(tmp_path: Path) -> None:
    path = fusion.save(small(), tmp_path / "p.nc")
    os.chown(path, 12345, 12346)
    fusion.save(tree(), path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_another_hard_link_keeps_the_older_file(tmp_path: Path) -> None:
    path = fusion.save(small(), tmp_path / "p.nc")
    (tmp_path / "backup.nc").hardlink_to(path)
    fusion.save(tree(), path)
    assert fusion.load(tmp_path / "backup.nc").identical(small())
    assert fusion.load(path).identical(tree())


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Let root, who may write everywhere, be nobody for the time of a test; the folder of the test is then nobody's."""
    if os.geteuid() != 0:
        yield
        return
    fusion.save(small(), tmp_path / "imports.nc")  # what saving imports need not be readable to nobody
    nobody, folders = 65534, [folder for folder in tmp_path.parents if folder.stat().st_mode & 0o55 != 0o55]
    for folder in folders:
        folder.chmod(folder.stat().st_mode | 0o55)
    os.chown(tmp_path, nobody, nobody)
    os.setresuid(nobody, nobody, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        for folder in folders:
            folder.chmod(folder.stat().st_mode & ~0o55)


@pytest.mark.skipif(os.name == "nt", reason="POSIX rights")
def test_a_read_only_file_is_not_replaced(tmp_path: Path, unprivileged: None) -> None:
    path = fusion.save(small(), tmp_path / "p.nc")
    path.chmod(0o440)
    with pytest.raises(fusion.StoreError, match="read-only"):
        fusion.save(tree(), path)
    assert fusion.load(path).identical(small())


@pytest.mark.skipif(os.name == "nt", reason="POSIX rights")
@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_folder_that_is_closed_is_named(tmp_path: Path, unprivileged: None, mode: int) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=mode)
    with pytest.raises(fusion.StoreError, match=r"cannot write there \(Permission denied\)"):
        fusion.save(small(), folder / "p.nc")
    folder.chmod(0o755)
    assert leftovers(folder) == []


def test_two_writers_leave_one_complete_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda ds: fusion.save(ds, tmp_path / "p.nc"), [small(), rich()] * 4):
            pass
    assert any(fusion.load(tmp_path / "p.nc").identical(ds) for ds in (small(), rich()))
    assert leftovers(tmp_path, "p.nc") == []


@pytest.mark.parametrize(
    "name", ["CON.nc", "lpt1.nc", "a:b.nc", "what?.nc", "trailing .nc", "dot..nc", "line\nfeed.nc"]
)
def test_names_that_other_systems_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(fusion.StoreError, match="not every system"):
        fusion.save(small(), tmp_path / name)
    assert leftovers(tmp_path) == []


def test_a_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = fusion.save(small(), tmp_path / f"{'n' * 252}.nc")
    assert fusion.load(path).identical(small())


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(fusion.StoreError, match="choose a folder that exists"):
        fusion.save(small(), tmp_path / "missing" / "p.nc")
    with pytest.raises(fusion.StoreError, match=r"must end in '\.nc'"):
        fusion.save(small(), tmp_path / "p.h5")
    (tmp_path / "folder.nc").mkdir()
    with pytest.raises(fusion.StoreError, match="could not be written"):
        fusion.save(small(), tmp_path / "folder.nc")
    assert leftovers(tmp_path) == ["folder.nc"]
