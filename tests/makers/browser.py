"""A headless browser for tests of pages: Chromium, driven through a pair of pipes, so that no socket is opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--no-first-run", "--hide-scrollbars", "--disable-background-networking",
    "--disable-component-update", "--disable-extensions", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--remote-debugging-pipe", "--window-size=1200,1100",
)  # fmt: skip


def executable() -> str:
    """Return the path of a browser; without one a test is skipped, and fails where it has to run."""
    paths = [path for name in NAMES if (path := shutil.which(name))]
    if not paths:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium; install it, e.g. apt-get install chromium")
    return paths[0]


class Browser:
    """One page of a browser without network."""

    def __init__(self, folder: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()

        def pipes() -> None:  # the browser reads commands from 3 and answers on 4
            ends = os.dup(to_read), os.dup(to_write)
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [executable(), *FLAGS, f"--user-data-dir={folder}"], preexec_fn=pipes, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._number, self._rest, self._session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self._call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1,
                   uploadThroughput=-1)  # fmt: skip

    def open(self, path: Path, *, seconds: float = 60.0) -> None:
        """Open a file and wait until its page says that it is ready."""
        self.events.clear()
        self._call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.querySelector('#explorer')?.dataset.ready", seconds)

    def wait(self, condition: str, seconds: float = 30.0) -> Any:
        end = time.monotonic() + seconds
        while not (value := self.js(condition)):
            assert time.monotonic() < end, f"{condition} is {value!r} after {seconds} s: {self.complaints()}"
            time.sleep(0.05)
        return value

    def js(self, expression: str, *, session: str = "") -> Any:
        """Return the value of an expression in the page, or in a frame of it; of a promise, what it brings."""
        answer = self._call(
            "Runtime.evaluate", session, expression=expression, returnByValue=True, awaitPromise=True
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def frame(self, seconds: float = 30.0) -> str:
        """Return the session of the last frame with an origin of its own."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.js("0")
            attached = [event["params"] for event in self.events if event["method"] == "Target.attachedToTarget"]
            if frames := [one["sessionId"] for one in attached if one["targetInfo"]["type"] == "iframe"]:
                return str(frames[-1])
            time.sleep(0.05)
        raise AssertionError("no frame with an origin of its own")

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def drag(self, x: float, y: float, dx: float, dy: float) -> None:
        self._call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x + dx, y=y + dy, button="left", buttons=1)
        self._call("Input.dispatchMouseEvent", type="mouseReleased", x=x + dx, y=y + dy, button="left", clickCount=1)

    def press(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(b64decode(self._call("Page.captureScreenshot", format="png")["data"]))
        return path

    def requests(self) -> list[str]:
        """Return what the page asked for beyond data that it holds itself."""
        self.js("0")
        urls = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def complaints(self) -> list[str]:
        """Return what went to the console, and exceptions."""
        methods = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"])[:400] for event in self.events if event["method"] in methods]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._read)
        os.close(self._write)

    def _call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session or self._session} if session or self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser ended"
            self._rest += chunk
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)
