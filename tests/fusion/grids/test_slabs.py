"""Slabs cover a grid once, and an interrupt waits only for those under way."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.grids import _slab_kernels


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.integers(0, 300)] * 2, st.integers(0, 5000), st.integers(1, 64)), st.integers(1, 9))
def test_slabs_cover_the_grid_once(shape, threads):
    covered = np.zeros(shape[:2], int)
    _slab_kernels.in_slabs(lambda z0, z1, y0, y1: np.add.at(covered, np.s_[z0:z1, y0:y1], 1), shape, 1)
    for z0, z1, y0, y1 in _slab_kernels._slabs(shape, threads):
        covered[z0:z1, y0:y1] += 1
    assert (covered == (0 if 0 in shape else 2)).all()


def test_an_interrupt_stops_the_remaining_slabs():
    calls = []

    def work(*slab):
        calls.append(slab)
        time.sleep(0.002)
        if len(calls) >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _slab_kernels.in_slabs(work, (400, 1000, 1000, 8), threads=2)
    assert len(calls) < 300
    assert len(_slab_kernels._slabs((400, 1000, 1000, 8), 2)) > 1000
