"""Fixtures that every test may use."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conspectus import cli
from conspectus.project import Project
from conspectus.recipes import run
from fusion.errors import FileReadError
from fusion.isolation.sandbox import limits
from fusion.specimens.measured import locate


@pytest.fixture(scope="session")
def measured() -> Callable[[str], Path]:
    """Return the path of a measured file; without it the test skips, and fails where `CI` is set."""

    def find(name: str) -> Path:
        try:
            return locate(name, download=False)
        except FileReadError as error:
            if os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(str(error))

    return find


@pytest.fixture(scope="session")
def drawing() -> None:
    """Ask for an OpenGL library; without it the test skips, and fails where `CI` is set."""
    from volumes.drawing import opengl

    if not opengl.available():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(opengl.ADVICE)


@pytest.fixture
def program() -> Callable[[str], str]:
    """Return the path of another program; without it the test skips, and fails where `CI` is set."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
        return path

    return find


@pytest.fixture
def direct() -> Iterator[None]:
    """Read files in this very process, where a test can replace a function of a reader."""
    with limits(direct=True):
        yield


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of results of the demo, which runs with the fixture `demo`."""
    return tmp_path_factory.mktemp("demo") / "results"


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> Project:
    """Run ``conspectus demo`` once for all tests; return the state in which it ended."""
    ended: list[Project] = []
    carry_out = run.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "run", lambda *arguments: ended.append(carry_out(*arguments)))
        assert cli.main(["demo", "--out", str(demo_folder)]) == 0
    return ended[0]
