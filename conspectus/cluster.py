"""Where blocks are computed: on the threads of this process, or on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from conspectus.errors import RecipeError

LOCAL: Final = "local"
_LOOPBACK: Final = "127.0.0.1"
_PATIENCE: Final = 10.0
"""Seconds that a scheduler may take to answer."""
_SCHEMES: Final = ("tcp://", "tls://")


@contextmanager
def workers(address: str | None) -> Iterator[str]:
    """Have lazy values computed by a cluster while it is entered; yield a sentence that says where.

    Parameters
    ----------
    address : str or None
        ``"local"`` starts a worker for each core of this machine, whose scheduler and dashboard listen on the loopback
        interface alone; ``"tcp://HOST:PORT"`` or ``"tls://HOST:PORT"`` is a scheduler that runs already, whose workers
        see the same files under the same paths. None leaves the work to threads of this process.

    Raises
    ------
    RecipeError
        If `dask.distributed` is not installed, or nothing answers at the address.
    """
    if address is None:
        yield "threads of this process"
        return
    if address != LOCAL and not address.startswith(_SCHEMES):
        raise RecipeError(f"--cluster is local, tcp://HOST:PORT or tls://HOST:PORT; received {address!r}")
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise RecipeError("a cluster needs dask.distributed: pip install 'conspectus[cluster]'") from error
    if address == LOCAL:
        # scheduler and workers unpickle what they are sent: nobody beyond this machine may reach them
        with (
            LocalCluster(threads_per_worker=1, host=_LOOPBACK, dashboard_address=f"{_LOOPBACK}:0") as cluster,
            Client(cluster) as client,
        ):
            yield _described(client)
        return
    try:
        client = Client(address, timeout=_PATIENCE)
    except OSError as error:
        raise RecipeError(f"--cluster {address}: no scheduler answers ({error}); start one: dask scheduler") from error
    with client:
        yield _described(client)


def _described(client: object) -> str:
    info = client.scheduler_info(n_workers=-1)["workers"]  # type: ignore[attr-defined]
    return f"{len(info)} workers of {client.scheduler.address}, dashboard {client.dashboard_link}"  # type: ignore[attr-defined]
