"""The command line. Only the standard library is imported here, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Final, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="conspectus", description="Fuse spectra with space: one specimen, many instruments, one physical frame."
    )
    commands = top.add_subparsers(dest="command", metavar="command", required=True)

    _add_recipes(commands)
    _add_files(commands)
    _add_tables(commands)
    return top


def _add_recipes(commands: Commands) -> None:
    demo = commands.add_parser("demo", help="make a specimen with known truth, fuse it, and measure the errors")
    demo.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results (%(default)s)")

    run = commands.add_parser("run", help="carry out a recipe")
    run.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    run.add_argument("--out", type=Path, help="folder for the results (out/ and the name of the recipe)")
    run.add_argument(
        "--cluster", metavar="ADDRESS", help="compute on workers: local, or tcp://HOST:PORT of a dask scheduler"
    )
    run.add_argument("--dry-run", action="store_true", help="check it, and say what each step will make and hold")
    run.add_argument(
        "--fresh", action="store_true", help="carry out every step, also those that an earlier run finished"
    )

    commands.add_parser("schema", help="print the JSON schema of recipes, for editors")

    replay = commands.add_parser("replay", help="make a saved result again from its sources, and compare every step")
    replay.add_argument("file", type=Path, metavar="specimen.nc")
    replay.add_argument("--sources", type=Path, metavar="FOLDER", help="where the files of its recipe are (here)")


def _add_files(commands: Commands) -> None:
    info = commands.add_parser("info", help="say what is in a file")
    info.add_argument("file", type=Path, metavar="FILE")
    info.add_argument("--verify", action="store_true", help="compare a saved file with its checksums")

    export = commands.add_parser("export", help="write one dataset for another program")
    export.add_argument("file", type=Path, metavar="PROJECT.nc")
    export.add_argument("--node", default="", help="the dataset, such as fused; left out where there is one")
    export.add_argument("--variable", help="one variable of it, for formats that hold one image")
    export.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FILE",
        help=".nc, .nxs, .csv, .vti, .vtkhdf, .ome.zarr, .tif or .hspy",
    )  # fmt: skip

    view = commands.add_parser("view", help="show a saved dataset in the browser, without a server")
    view.add_argument("file", type=Path, metavar="FILE.nc")
    view.add_argument("--name", help="which dataset of a project; left out, all of it, in tabs")
    view.add_argument("--output", type=Path, metavar="PAGE.html", help="where to keep the page, instead of opening it")

    picture = commands.add_parser("picture", help="draw a dataset as a picture, or a volume as a film of one turn")
    picture.add_argument("file", type=Path, metavar="FILE")
    picture.add_argument("--name", help="which dataset of a project (fused)")
    picture.add_argument("--turn", action="store_true", help="a film (.gif, .webp or animated .png) of one turn")
    picture.add_argument("-o", "--out", type=Path, required=True, metavar="PICTURE")

    history = commands.add_parser("history", help="draw how a saved file came about")
    history.add_argument("file", type=Path, metavar="FILE.nc")

    diff = commands.add_parser("diff", help="say where two saved results differ, and by how much")
    diff.add_argument("first", type=Path, metavar="A.nc")
    diff.add_argument("second", type=Path, metavar="B.nc")


def _add_tables(commands: Commands) -> None:
    techniques = commands.add_parser("techniques", help="compare techniques, or say how two of them go together")
    techniques.add_argument("names", nargs="*", metavar="NAME", help="two techniques; none lists them all")
    techniques.add_argument(
        "--page", type=Path, metavar="FILE.md", help="write the table with its sources, and a chart"
    )

    formats = commands.add_parser("formats", help="list the formats that open")
    formats.add_argument(
        "--page", type=Path, metavar="FILE.md", help="open every measured file, and write what came from each"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 2 after one sentence on standard error if the input does not allow it."""
    options = parser().parse_args(arguments)
    from fusion.errors import ConspectusError

    _prepare()
    try:
        _run(options)
    except ConspectusError as error:
        print(f"conspectus: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"conspectus: error: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("conspectus: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def _prepare() -> None:
    """Print what a terminal cannot show as '?', and take a request to end as an interrupt."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _run(options: argparse.Namespace) -> None:
    _COMMANDS[options.command](options)


def _techniques(options: argparse.Namespace) -> None:
    from conspectus.pages import techniques

    techniques.show(options.names, page=options.page)


def _formats(options: argparse.Namespace) -> None:
    from conspectus.pages import formats

    formats.show(page=options.page)


def _view(options: argparse.Namespace) -> None:
    from conspectus.pages import view

    print(f"Written: {view.view(options.file, node=options.name, output=options.output)}")


def _picture(options: argparse.Namespace) -> None:
    from conspectus.pages import picture

    print(f"Written: {picture.picture(options.file, options.out, node=options.name, turn=options.turn)}")


def _export(options: argparse.Namespace) -> None:
    from conspectus import items

    items.export_node(options.file, options.node, options.variable, options.out)


def _info(options: argparse.Namespace) -> None:
    from conspectus.pages import info

    info.show(options.file, verify=options.verify)


def _demo(options: argparse.Namespace) -> None:
    from conspectus.recipes import recipe, run

    run.run(recipe.demo(), options.out)


def _carry_out(options: argparse.Namespace) -> None:
    from conspectus.cluster import workers
    from conspectus.recipes import plan, recipe, run

    if options.dry_run:
        plan.show(recipe.read(options.recipe))
        return
    out = options.out or Path("out") / options.recipe.stem
    with workers(options.cluster) as where:
        if options.cluster:
            print(f"Computed by {where}")
        run.run(recipe.read(options.recipe), out, fresh=options.fresh)


def _schema(_: argparse.Namespace) -> None:
    from conspectus.recipes import recipe

    print(json.dumps(recipe.schema(), indent=2))


def _replay(options: argparse.Namespace) -> None:
    from conspectus.recipes import replay

    replay.show(options.file, sources=options.sources)


def _history(options: argparse.Namespace) -> None:
    from conspectus.pages import history

    history.show(options.file)


def _diff(options: argparse.Namespace) -> None:
    from conspectus.pages import differences

    differences.show(options.first, options.second)


_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], None]]] = {
    "demo": _demo, "diff": _diff, "export": _export, "formats": _formats, "history": _history, "info": _info,
    "picture": _picture, "replay": _replay, "run": _carry_out, "schema": _schema, "techniques": _techniques,
    "view": _view,
}  # fmt: skip
