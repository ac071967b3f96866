"""The registry of measured files, without any network."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fusion
from fusion.specimens import measured as registry
from fusion.specimens.measured import Entry

CONTENT = b"counts of a map"
HASH = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0" * 40
KNOWN = {
    "edx/a.bcf": Entry("edx/a.bcf", HASH, f"lab/data@{COMMIT}:raw/a.bcf"),
    "stack/0.tif": Entry("stack/0.tif", HASH, f"lab/data@{COMMIT}:s/0.tif"),
    "stack/1.tif": Entry("stack/1.tif", HASH, f"lab/data@{COMMIT}:s/1.tif"),
    "own/b.nc": Entry("own/b.nc", HASH, ""),
}
Calls = list[tuple[str, str, Path]]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entries", lambda: KNOWN)
    monkeypatch.delenv(registry.VARIABLE, raising=False)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    """Replace the download: note what would be fetched, and put it there."""
    import pooch

    calls: Calls = []

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> str:
        calls.append((url, known_hash, path / fname))
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(CONTENT)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return calls


def unreachable(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import pooch

    def retrieve(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(pooch, "retrieve", retrieve)


def fill(folder: Path, content: bytes = CONTENT) -> Path:
    for name in KNOWN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_every_entry_has_a_hash_and_an_address_at_a_fixed_commit() -> None:
    entries = registry.entries()
    assert len(entries) > 50
    for name, entry in entries.items():
        assert entry.name == name
        assert ".." not in name
        assert not name.startswith("/")
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256), name
        assert entry.source == "" or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}:[^:]+", entry.source), name
        if entry.source:
            assert re.fullmatch(r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/.+", entry.address)


@pytest.mark.usefixtures("known")
def test_an_address_names_repository_commit_and_path() -> None:
    assert KNOWN["edx/a.bcf"].address == f"https://raw.githubusercontent.com/lab/data/{COMMIT}/raw/a.bcf"


@pytest.mark.usefixtures("known")
def test_the_folder_of_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: Calls
) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(fill(tmp_path / "data")))
    assert registry.locate("edx/a.bcf") == tmp_path / "data" / "edx" / "a.bcf"
    assert registry.locate("stack") == tmp_path / "data" / "stack"
    assert network == []


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("name", ["edx/a.bcf", "stack"])
def test_another_file_of_the_same_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: Calls, name: str
) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(fill(tmp_path / "wrong", b"other bytes")))
    with pytest.raises(fusion.FileReadError, match="sha256 differs"):
        registry.locate(name)
    assert network == []


@pytest.mark.usefixtures("known")
def test_a_folder_with_a_missing_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (fill(tmp_path / "part") / "stack" / "1.tif").unlink()
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "part"))
    with pytest.raises(fusion.FileReadError):
        registry.locate("stack", download=False)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("name", ["edx", "edx/", "", "unknown.bcf", "../edx/a.bcf", "stack/2.tif", "edx/a.bc"])
def test_unknown_names_are_refused(tmp_path: Path, network: Calls, name: str) -> None:
    if name == "edx":
        assert registry.locate(name).name == "edx"
        return
    with pytest.raises(fusion.FileReadError, match=r"no measured file.*entries\(\)"):
        registry.locate(name)
    assert network == []


@pytest.mark.usefixtures("known")
def test_without_a_folder_files_are_fetched_by_address_and_hash(tmp_path: Path, network: Calls) -> None:
    cache = tmp_path / "cache" / "conspectus"
    assert registry.locate("stack") == cache / "stack"
    assert network == [
        (f"https://raw.githubusercontent.com/lab/data/{COMMIT}/s/{k}.tif", f"sha256:{HASH}", cache / f"stack/{k}.tif")
        for k in (0, 1)
    ]


@pytest.mark.usefixtures("known")
def test_nothing_is_fetched_where_that_is_not_wanted(network: Calls) -> None:
    with pytest.raises(fusion.FileReadError, match=f"not at hand; set {registry.VARIABLE}"):
        registry.locate("edx/a.bcf", download=False)
    assert network == []


@pytest.mark.usefixtures("known")
def test_a_file_without_address_says_where_to_put_it(network: Calls) -> None:
    with pytest.raises(fusion.FileReadError, match=f"no address of its own; set {registry.VARIABLE}"):
        registry.locate("own/b.nc")
    assert network == []


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("error", [ConnectionError("no route"), TimeoutError(), ValueError("hash mismatch")])
def test_a_failed_download_is_a_read_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    unreachable(monkeypatch, error)
    with pytest.raises(fusion.FileReadError, match=rf"not downloaded \({type(error).__name__}\)"):
        registry.locate("edx/a.bcf")


def test_measured_files_are_found_where_they_are_at_hand(measured: Callable[[str], Path]) -> None:
    path = measured("edx/test_TEM.bcf")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == registry.entries()["edx/test_TEM.bcf"].sha256
