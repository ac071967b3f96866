"""`conspectus view`: a page of a saved project, private and without a server."""

import socket
import stat
import webbrowser

import numpy as np
import pytest
import xarray as xr

import fusion
from conspectus import cli
from conspectus.pages import view


def image(name):
    axes = {dim: fusion.Axis("um", 0.5) for dim in "yx"}
    return fusion.dataset({"image": (("y", "x"), np.eye(6))}, axes, name=name, cell_methods="mean")


@pytest.fixture
def project(tmp_path):
    path = tmp_path / "project.nc"
    fusion.save(xr.DataTree.from_dict({"/fused": image("fused"), "/map": image("map")}), path)
    return path


def test_a_page_is_written_where_it_is_asked_for(project, tmp_path, capsys):
    page = tmp_path / "map.html"
    assert cli.main(["view", str(project), "--name", "map", "--output", str(page)]) == 0
    assert "<title>map</title>" in page.read_text()
    assert str(page) in capsys.readouterr().out


def test_all_of_a_project_is_one_page(project):
    text = view.view(project, output=project.with_suffix(".html")).read_text()
    assert '"title":"fused"' in text
    assert '"title":"map"' in text


def test_without_output_it_is_private_and_opened(project, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    written = view.view(project)
    assert opened == [written.as_uri()]
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o700
    assert "<title>fused</title>" in written.read_text()


def test_no_socket_is_opened(project, monkeypatch):
    def refuse(*_):
        raise AssertionError("a page needs no socket")

    for name in ("bind", "listen", "connect"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(webbrowser, "open", lambda uri: None)
    assert view.view(project).exists()


def test_a_node_that_is_missing(project, capsys):
    assert cli.main(["view", str(project), "--name", "nothing"]) == 2
    assert "name one of ['fused', 'map'] with --name" in capsys.readouterr().err
