"""Hundreds of damaged files, as benchmarks/conspectus/mutations.py makes them: the promises of docs/safety.md hold."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmarks.conspectus import mutations
from fusion.isolation import sandbox
from tests.makers import made

pytestmark = pytest.mark.skipif(not sandbox.AVAILABLE, reason="no process can be forked on this system")
EACH = 8
QUICK = ("Bruker bcf", "Gatan dm4", "JEOL img", "MRC", "Renishaw wdf", "SECM text", "WITec text", "TIFF ImageJ")


@pytest.mark.parametrize("name", [*made.names(), *QUICK])
def test_no_damaged_file_breaks_a_promise(name, tmp_path, measured):
    if name in QUICK:
        measured(made.MEASURED[name][1])
    base = made.found(name, download=False) if name in QUICK else made.written(name, tmp_path)
    outcomes, growth = mutations.run(base, range(EACH), mutations.SEED)
    assert [outcome for outcome in outcomes if outcome.result == "faults"] == []
    assert any(outcome.result in ("refused", "crashed", "stopped") for outcome in outcomes)
    assert growth < 2e9


def test_the_judge_sees_what_is_cut_silently(tmp_path):
    """A reader that fills up what is missing with zeros, or leaves it out, is found."""
    base = made.written("EDAX spd", tmp_path)
    whole = {"map": {"counts": b"1", "": b""}}
    judge = partial(mutations._truncated, base, base.path, names=["map"], errors=[], whole=whole, listed=["map"])
    assert judge(found={"map": {"counts": b"0", "": b""}}, said=False)[0] == "faults"
    assert judge(found={"map": {"counts": b"0", "": b""}}, said=True)[0] == "faults"
    assert judge(found={"map": {"counts": b"0", "": b"\0"}}, said=True)[0] == "warned"
    assert judge(found=whole, said=False)[0] == "equal"
    assert judge(found={}, names=[], said=False)[0] == "faults"


def test_mutants_are_the_same_each_time():
    content = np.random.default_rng(0).bytes(5000)
    first, again = (mutations.mutant("MRC", content, 4, seed=1) for _ in range(2))
    assert first == again
    assert mutations.mutant("MRC", content, 14, seed=1) != first
    for number in range(200):
        kind, changed = mutations.mutant("MRC", content, number, seed=1)
        assert changed
        assert kind != "truncate" or (len(changed) < len(content) and content.startswith(changed))
