"""PyVista's live view in a notebook: its server answers to a random key, and a picture needs none."""

import argparse
import asyncio
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import fusion
import volumes
from fusion.errors import DataError
from volumes.drawing import jupyter

CONSTANT = "wslink-secret"


def volume():
    axes = {dim: fusion.Axis("um", 0.5) for dim in "zyx"}
    values = np.random.default_rng(0).random((6, 7, 8)).astype(np.float32)
    return fusion.dataset({"image": (("z", "y", "x"), values)}, axes, name="v", cell_methods="mean")


@pytest.fixture
def server(monkeypatch):
    """Return a stand-in for the library's server, with the same argument parser and the same constant key."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--authKey", default=CONSTANT)
    server = SimpleNamespace(cli=parser, running=False, port=4321)
    module = ModuleType("trame_pyvista.jupyter")
    module.get_server = lambda name: server
    module.build_url = lambda server, ui: f"http://localhost:{server.port}/index.html?ui={ui}&reconnect=auto"
    package = ModuleType("trame_pyvista")
    package.jupyter = module
    monkeypatch.setitem(sys.modules, "trame_pyvista", package)
    monkeypatch.setitem(sys.modules, "trame_pyvista.jupyter", module)
    jupyter.lock.cache_clear()
    yield server, module
    jupyter.lock.cache_clear()


def test_the_key_is_random_and_every_view_carries_it(server):
    remote, module = server
    jupyter.lock()
    key = remote.cli.parse_known_args([])[0].authKey
    assert key != CONSTANT
    assert len(key) >= 43
    assert module.build_url(remote, ui="view").endswith(f"&secret={key}")
    jupyter.lock()
    assert remote.cli.parse_known_args([])[0].authKey == key
    jupyter.lock.cache_clear()
    remote.cli.set_defaults(authKey=CONSTANT)
    jupyter.lock()
    assert remote.cli.parse_known_args([])[0].authKey != key


def test_a_server_that_runs_with_the_constant_key_is_refused(server):
    remote, _ = server
    remote.running = True
    with pytest.raises(DataError, match="restart the kernel"):
        jupyter.lock()


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(("backend", "locked"), [("trame", True), ("static", False)])
def test_show_locks_what_has_a_server(monkeypatch, backend, locked):
    import pyvista as pv

    calls, shown = [], []
    monkeypatch.setattr(jupyter, "lock", lambda: calls.append(True))
    monkeypatch.setattr(jupyter, "find_spec", lambda name: object())
    monkeypatch.setattr(pv.Plotter, "show", lambda self, **options: shown.append(options))
    plotter = volumes.render(volume(), off_screen=True, window_size=(300, 300))
    plotter.notebook = True
    plotter.show(jupyter_backend=backend)
    plotter.close()
    assert bool(calls) is locked
    assert shown == [{"jupyter_backend": backend}]


def test_the_real_server_refuses_the_constant_key():
    """As a browser does: a handshake over the socket, once with either key."""
    import aiohttp
    import msgpack
    import pyvista as pv
    import trame_pyvista.jupyter as live
    from wslink import chunking

    jupyter.lock.cache_clear()
    jupyter.lock()
    server = live.get_server(pv.global_theme.trame.jupyter_server_name)
    key = server.cli.parse_known_args([])[0].authKey

    async def answers():
        live.launch_server(server)
        await server.ready
        found = []
        for secret in (CONSTANT, key):
            hello = {"wslink": "1.0", "id": "system:c0:0", "method": "wslink.hello", "args": [{"secret": secret}]}
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"http://127.0.0.1:{server.port}/ws") as socket,
            ):
                for chunk in chunking.generate_chunks(msgpack.packb({**hello, "kwargs": {}}), 1 << 20):
                    await socket.send_bytes(chunk)
                found.append((await socket.receive(timeout=5)).data)
        return found

    refused, taken = asyncio.run(answers())
    assert b"Authentication failed" in refused
    assert b"clientID" in taken
