"""How kernels are compiled: those that Python calls, and the parts of them that only kernels call.

A part has no entry for Python and no file in the cache, which would take half of its time to compile; it is compiled
into the kernels that call it, and those are cached.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy"}
_INNER: Final[dict[str, Any]] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

kernel: Callable[[Function], Function] = njit(cache=True, **_OPTIONS)
part: Callable[[Function], Function] = njit(**_INNER)
