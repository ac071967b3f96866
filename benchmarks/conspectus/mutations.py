"""Damaged files: sound ones of all formats, cut, flipped and overwritten at random places, and what opening them does.

Each mutant is listed by `contents`, and every item opened by `open`. The promises: this process lives, stays below
2 GB and within the limits of time; every refusal names the file and the reason; and no file that was cut short opens as
if it were whole. A cut file is refused, or opens with a `fusion.TruncatedFileWarning`, or with the very values of the
whole file, because only bytes that nobody needs are gone.

    python benchmarks/conspectus/mutations.py --count 250
"""

from __future__ import annotations

import argparse
import hashlib
import re
import resource
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

sys.path.insert(0, str(Path(__file__).parents[2]))  # tests/ is no package of the distribution

import fusion
import spectra
import volumes
from tests.makers import made

SEED: Final = 20240501
MEMORY, SECONDS = 3 * 2**29, 10.0
PATIENCE: Final = 20.0
"""Seconds beyond the limit after which a call counts as hanging: the machine may be busy."""
ITEMS, BLOCKS = 3, 8
CHUNK: Final = 20
HEADER: Final = 4096
WINGS: Final[dict[str, ModuleType]] = {"spectra": spectra, "volumes": volumes}
SLOW: Final = {
    "Bruker bcf": 0.5, "Delmic h5": 0.3, "Igor ibw": 0.3, "JEOL pts": 0.05, "NanoScope": 0.3, "NetCDF nc": 0.5,
    "PNG": 0.3, "Renishaw wdf map": 0.5, "SMAP mat": 0.3, "TIFF FEI": 0.5, "TIFF Zeiss": 0.5, "Velox emd": 0.1,
}  # fmt: skip
"""Formats whose sound file takes seconds to read: a part of the mutants."""
COLUMNS: Final = ("mutants", "refused", "crashed", "stopped", "opened", "equal", "warned", "excused", "faults")
ROWS: Final = {
    "Picasso yaml": "the number of steps that it tells of is not in the file",
    "Ripple rpl": "scales and names are lines that may be missing",
    "SECM text": "the number of rows is not in the file",
    "ThunderSTORM csv": "the number of localisations is not in the file",
    "Voltammograms": "the number of rows is not in the file",
    "WITec text": "the number of channels is not in the file",
}
"""Text that says nowhere how long it is: cut exactly at the end of a line, it cannot be told from a whole one."""
Digests = Mapping[str, bytes]
Generator = np.random.Generator


class Outcome(NamedTuple):
    """What became of one mutant."""

    format: str
    kind: str
    number: int
    result: str
    note: str = ""


def truncate(content: bytes, random: Generator) -> bytes:
    """Cut the end off: at any place, close to the end, or after a line."""
    way = int(random.integers(3))
    if way == 0:
        return content[: int(random.integers(1, len(content)))]
    near = len(content) - min(int(np.exp(random.uniform(0, np.log(len(content))))), len(content) - 1)
    line = content.rfind(b"\n", 0, near) + 1
    return content[:line] if way == 1 and line else content[:near]


def flip(content: bytes, random: Generator) -> bytes:
    """Turn one to eight bits over, half of the time in the header."""
    changed = bytearray(content)
    end = len(content) if random.integers(2) else min(HEADER, len(content))
    for place in random.integers(0, end, int(random.integers(1, 9))):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def zero(content: bytes, random: Generator) -> bytes:
    """Overwrite the beginning by zeros."""
    length = min(int(2 ** random.uniform(2, 12)), len(content))
    return bytes(length) + content[length:]


def absurd(content: bytes, random: Generator) -> bytes:
    """Replace a number of the header by a huge one: an integer of two, four or eight bytes, or a decimal one."""
    numbers = list(re.finditer(rb"\d+", content[:HEADER]))
    if numbers and random.integers(2):
        found = numbers[int(random.integers(len(numbers)))]
        huge = (b"999999999", b"-1", b"0", b"9223372036854775807", b"1e308")[int(random.integers(5))]
        return content[: found.start()] + huge + content[found.end() :]
    width = int(random.choice([2, 4, 8]))
    value = int(random.choice([2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1])) % 2 ** (
        8 * width
    )
    place = int(random.integers(0, max(min(HEADER, len(content)) - width, 1)))
    order = "little" if random.integers(2) else "big"
    return content[:place] + (value % 2 ** (8 * width)).to_bytes(width, order) + content[place + width :]


def delete(content: bytes, random: Generator) -> bytes:
    """Leave bytes in the middle out."""
    start = int(random.integers(0, len(content) - 1))
    return content[:start] + content[start + int(2 ** random.uniform(0, 12)) :] or b"\0"


def insert(content: bytes, random: Generator) -> bytes:
    """Put random bytes in."""
    place = int(random.integers(0, len(content)))
    return content[:place] + random.bytes(int(2 ** random.uniform(0, 12))) + content[place:]


def swap(content: bytes, random: Generator) -> bytes:
    """Exchange two blocks of the same length."""
    length = max(1, min(int(2 ** random.uniform(2, 12)), len(content) // 2))
    first, second = sorted(int(place) for place in random.integers(0, len(content) - length, 2))
    second = max(second, first + length)
    a, b = content[first : first + length], content[second : second + length]
    return content[:first] + b + content[first + length : second] + a + content[second + length :]


KINDS: Final[tuple[Callable[[bytes, Generator], bytes], ...]] = (
    truncate, flip, absurd, truncate, delete, zero, truncate, insert, swap, absurd,
)  # fmt: skip
"""Three in ten are cut: that is what happens to files."""


def mutant(name: str, content: bytes, number: int, seed: int) -> tuple[str, bytes]:
    """Return the kind and the bytes of a mutant: the same for the same format, number and seed."""
    random = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    kind = KINDS[number % len(KINDS)]
    return kind.__name__, kind(content, random)


def digests(ds: xr.Dataset) -> dict[str, bytes]:
    """Return a hash of the values of each variable; of lazy ones with many blocks, of some."""
    return {str(name): _digest(variable) for name, variable in ds.variables.items()}


def _digest(variable: xr.Variable) -> bytes:
    found = hashlib.sha256(f"{variable.dims} {variable.shape} {variable.dtype}".encode())
    for block in _blocks(variable):
        found.update(np.ascontiguousarray(block).tobytes())
    return found.digest()


def _blocks(variable: xr.Variable) -> Iterable[Any]:
    if variable.chunks is None:
        return [variable.values]
    places = list(np.ndindex(*variable.data.numblocks))
    chosen = np.unique(np.linspace(0, len(places) - 1, BLOCKS).astype(int))
    return (np.asarray(variable.data.blocks[places[index]].compute(scheduler="sync")) for index in chosen)


def opened(base: made.Made, path: Path) -> tuple[dict[str, Digests], list[str], bool, list[Exception]]:
    """Return what each item holds, the items that are listed, whether a warning told of a cut, and what was raised."""
    wing, found, errors = WINGS[base.wing], {}, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        listed = [item.name for item in _timed(lambda: wing.contents(path))]
        for name in listed[:ITEMS]:
            try:
                ds = _timed(lambda name=name: wing.open(path, name=name, **base.options))
                found[name] = {**_timed(lambda ds=ds: digests(ds)), "": bytes("truncated" in ds.attrs)}
            except fusion.ConspectusError as error:
                errors.append(error)
    said = any(isinstance(warning.message, fusion.TruncatedFileWarning) for warning in caught)
    return found, listed, said, errors


def _timed(call: Callable[[], Any]) -> Any:
    start = time.monotonic()
    try:
        return call()
    finally:
        taken = time.monotonic() - start
        if taken > fusion.isolation.sandbox._LIMITS.get().seconds + PATIENCE:
            raise TimeoutError(f"a call took {taken:.0f} s")


def judged(base: made.Made, path: Path, kind: str, whole: Mapping[str, Digests], listed: list[str]) -> tuple[str, str]:
    """Return the result for one mutant, and a note on what went wrong."""
    try:
        found, names, said, errors = opened(base, path)
    except fusion.ConspectusError as error:
        return _refusal([error], path)
    except Exception as error:  # whatever is raised beside the project's own errors is what is looked for
        return "faults", f"{type(error).__name__}: {error}"
    if errors and (fault := _refusal(errors, path))[0] == "faults":
        return fault
    if kind != "truncate":
        return _refusal(errors, path) if errors else ("equal" if found == whole else "opened", "")
    return _truncated(base, path, found, names, said, errors, whole, listed)


def _truncated(
    base: made.Made,
    path: Path,
    found: Mapping[str, Digests],
    names: list[str],
    said: bool,
    errors: list[Exception],
    whole: Mapping[str, Digests],
    listed: list[str],
) -> tuple[str, str]:
    changed = [name for name, values in found.items() if values != whole.get(name)]
    missing = [name for name in listed if name not in names]
    if not changed and not missing:
        return _refusal(errors, path) if errors else ("equal", "")
    if said and not missing and all(found[name][""] for name in changed):
        return "warned", ""
    if base.format in ROWS and path.with_name(base.damaged.name).read_bytes().endswith(b"\n"):
        return "excused", ROWS[base.format]
    return "faults", f"cut silently: {changed or missing} of {listed}, {path.stat().st_size} bytes"


def _refusal(errors: list[Exception], path: Path) -> tuple[str, str]:
    """Return whether all errors name the file and the reason, and how the reader ended."""
    for error in errors:
        if not isinstance(error, fusion.FileReadError) or not error.reason or not _names(error, path):
            return "faults", f"unnamed {type(error).__name__}: {error}"
    reason = str(errors[0].reason)
    ended = {"crashed": "crashed" in reason, "stopped": "reading it takes" in reason}
    return next((result for result, is_so in ended.items() if is_so), "refused"), reason


def _names(error: fusion.FileReadError, path: Path) -> bool:
    return Path(error.path).parent == path.parent


def run(base: made.Made, numbers: range, seed: int) -> tuple[list[Outcome], float]:
    """Judge the mutants of one file; return the outcomes and by how many bytes the peak memory of this process rose."""
    before = _peak_memory()
    content = base.damaged.read_bytes()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder, fusion.limits(memory=MEMORY, seconds=SECONDS):
        path = _copied(base, Path(folder))
        with fusion.limits(seconds=600):
            whole, listed, _, errors = opened(base, path)
        if errors:
            raise RuntimeError(f"{base.format}: the sound file does not open ({errors[0]})")
        for number in numbers:
            kind, changed = mutant(base.format, content, number, seed)
            damaged = path.with_name(base.damaged.name)
            damaged.unlink()
            damaged.write_bytes(changed)
            outcomes.append(Outcome(base.format, kind, number, *judged(base, path, kind, whole, listed)))
    return outcomes, _peak_memory() - before


def _peak_memory() -> float:
    scale = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)


def _copied(base: made.Made, folder: Path) -> Path:
    """Copy the file, and the small ones beside it that belong to it if it was written here."""
    own = base.format not in made.MEASURED
    for file in base.path.parent.iterdir() if own else [base.path]:
        shutil.copy(file, folder)
    return folder / base.path.name


def table(outcomes: list[Outcome]) -> str:
    """Return the counts of each format as a table in Markdown."""
    formats = sorted({outcome.format for outcome in outcomes}, key=str.lower)
    lines = [f"| format | {' | '.join(COLUMNS)} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for name in [*formats, "**all**"]:
        rows = [outcome for outcome in outcomes if name in (outcome.format, "**all**")]
        counts = {**Counter(row.result for row in rows), "mutants": len(rows)}
        lines.append(f"| {name} | {' | '.join(str(counts.get(column, 0)) for column in COLUMNS)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=250, help="mutants of each format")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--format", action="append", help="only this one; may be given several times")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wanted = given.format or [*made.names(), *made.MEASURED]
        bases = [made.found(name) if name in made.MEASURED else made.written(name, Path(folder)) for name in wanted]
        counts = {base.format: max(1, int(given.count * SLOW.get(base.format, 1))) for base in bases}
        jobs = [
            (base, range(start, min(start + CHUNK, counts[base.format])), given.seed)
            for base in bases
            for start in range(0, counts[base.format], CHUNK)
        ]
        with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
            outcomes, peak = _collected(pool.map(run, *zip(*jobs, strict=True)))
    faults = [outcome for outcome in outcomes if outcome.result == "faults"]
    print(table(outcomes))
    print(f"\nThe calling process needed {peak / 1e9:.2f} GB more than it began with.")
    return 1 if faults or peak > 2e9 else 0


def _collected(results: Iterable[tuple[list[Outcome], float]]) -> tuple[list[Outcome], float]:
    outcomes: list[Outcome] = []
    highest = 0.0
    for found, peak in results:
        outcomes += found
        highest = max(highest, peak)
        for outcome in found:
            if outcome.result in ("faults", "crashed", "stopped"):
                print(*outcome, file=sys.stderr, flush=True)
    return outcomes, highest


if __name__ == "__main__":
    sys.exit(main())
