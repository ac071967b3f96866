"""Where a run is computed."""

from pathlib import Path

import pytest

from conspectus.cli import main
from conspectus.cluster import workers
from conspectus.errors import RecipeError


def test_without_an_address_threads_of_this_process_compute() -> None:
    with workers(None) as where:
        assert where == "threads of this process"


def test_an_address_is_local_or_that_of_a_scheduler(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('title = "t"\nabout = "a"\n', encoding="utf-8")
    assert main(["run", str(tmp_path / "r.toml"), "--cluster", "10.0.0.5:8786"]) == 2
    assert "local, tcp://HOST:PORT or tls://HOST:PORT; received '10.0.0.5:8786'" in capsys.readouterr().err


def test_workers_of_this_machine_listen_on_the_loopback_interface_alone() -> None:
    with workers("local") as where:
        assert "tcp://127.0.0.1:" in where


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    with pytest.raises(RecipeError, match=r"tcp://127\.0\.0\.1:9: no scheduler answers"), workers("tcp://127.0.0.1:9"):
        pass
