"""The rules of the house, read from the sources themselves."""

import ast
import importlib
import inspect
import io
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fusion", "spectra", "volumes", "conspectus")
BELOW = {
    "fusion": set(),
    "spectra": {"fusion"},
    "volumes": {"fusion"},
    "conspectus": {"fusion", "spectra", "volumes"},
}
OWNERS = {
    "hyperspy": "spectra", "exspy": "spectra", "rsciio": "spectra", "pybaselines": "spectra",
    "pyvista": "volumes", "vtk": "volumes", "vtkmodules": "volumes", "k3d": "volumes", "tifffile": "volumes",
    "mrcfile": "volumes", "igor2": "volumes", "gwyfile": "volumes", "liffile": "volumes", "nd2": "volumes",
    "pylibCZIrw": "volumes", "anywidget": "volumes", "trame_pyvista": "volumes", "zarr": "volumes",
    "onnxruntime": "volumes",
}  # fmt: skip
HEAVY = {
    "PIL", "SimpleITK", "dask", "distributed", "exspy", "gwyfile", "h5netcdf", "h5py", "hyperspy", "igor2",
    "imagecodecs", "k3d",
    "anywidget", "liffile", "matplotlib", "mrcfile", "onnxruntime", "traitlets", "trame_pyvista",
    "nd2", "numba", "pint", "pooch", "psutil", "pybaselines", "pylibCZIrw", "pyvista", "rsciio", "scipy",
    "skimage", "sklearn", "sparse", "tifffile", "vtkmodules", "yaml", "zarr",
}  # fmt: skip
"""What a function may import on its own, because it is heavy or optional."""
DEFERRED = {
    "fusion/progress.py": {"rich", "IPython"},  # most work is done before a bar appears
    "fusion/fused/position.py": {"fusion.fused._position_kernels"},  # numba
    "fusion/images/blocks.py": {"fusion.images._kernels"},
    "fusion/images/measures.py": {"fusion.images._kernels"},
    "fusion/kriging.py": {"fusion._kriging_kernels"},  # numba
    "fusion/grids/footprints.py": {"fusion.grids._footprint_kernels"},
    "fusion/grids/groups.py": {"fusion.grids._axis_kernels", "fusion.grids._share_kernels"},
    "fusion/resampling/points.py": {"fusion.resampling._kernels"},
    "fusion/grids/shares.py": {"fusion.grids._separable_kernels"},
    "fusion/resampling/warped.py": {"fusion.resampling._warp_kernels"},
    "fusion/registration/points.py": {"fusion.registration._points_kernels"},
    "volumes/points/density.py": {"volumes.points._kernels"},  # numba
    "volumes/points/seeds.py": {"volumes.points._sphere_kernels"},
    "volumes/points/sphere_equations.py": {"volumes.points._sphere_kernels"},
    "volumes/points/sphere_scene.py": {"volumes.points._sphere_kernels"},
    "volumes/segmentation/features.py": {"volumes.segmentation._kernels"},  # numba
    "volumes/segmentation/forest.py": {"volumes.segmentation._kernels"},
    "volumes/tomography/projector.py": {"volumes.tomography._kernels"},
    "volumes/tomography/solvers.py": {"volumes.tomography._kernels"},
    "conspectus/cli.py": {"conspectus", "fusion.errors"},  # --help must not wait for the rest
    "conspectus/opening.py": {"conspectus"},  # as --help
    "conspectus/pages/info.py": {"xarray"},
}
"""Modules of the house that are imported within a function, and why."""
LIGHT = {
    "fusion": {"hyperspy", "exspy", "pyvista", "vtkmodules", "numba", "sklearn", "skimage", "SimpleITK", "matplotlib",
               "pint", "h5py", "dask", "pooch", "scipy"},
    "spectra": {"hyperspy", "exspy", "pyvista", "vtkmodules", "numba", "sklearn", "skimage", "SimpleITK", "matplotlib",
                "pint", "dask", "scipy"},
    "volumes": {"hyperspy", "exspy", "pyvista", "vtkmodules", "numba", "sklearn", "skimage", "SimpleITK", "matplotlib",
                "pint", "h5py", "dask", "scipy"},
    "conspectus": {"hyperspy", "exspy", "pyvista", "vtkmodules", "numba", "sklearn", "skimage", "SimpleITK",
                   "matplotlib", "pint", "h5py", "dask", "scipy"},
}  # fmt: skip
"""What a plain import of a package must not load."""


class Import(NamedTuple):
    """One imported module and how: in a function, only for type checking, or at the top of a file."""

    file: str
    module: str
    within: str

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages or PACKAGES for path in (ROOT / package).rglob("*.py"))


def modules_of(node: ast.AST, package: str) -> list[str]:
    """Return the modules that a statement imports; ``from fusion import units`` imports fusion.units."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"relative import in {package}"
        base = node.module or ""
        submodules = [f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}")]
        return submodules or [base]
    return []


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def walk(node: ast.AST, within: str = "") -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        inner = within
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = "function"
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = "typing"
        yield child, inner
        yield from walk(child, inner)


@cache
def imports() -> tuple[Import, ...]:
    found = []
    for path in sources():
        file = path.relative_to(ROOT).as_posix()
        for node, within in walk(ast.parse(path.read_text(encoding="utf-8"))):
            found += [Import(file, module, within) for module in modules_of(node, file)]
    return tuple(found)


def test_the_walk_sees_every_kind_of_import() -> None:
    """The other tests prove nothing if this one is blind."""
    code = "import a.b\nfrom fusion import units\ndef f():\n    import c\nif TYPE_CHECKING:\n    import d\n"
    nodes = [(modules_of(node, ""), within) for node, within in walk(ast.parse(code)) if modules_of(node, "")]
    assert nodes == [(["a.b"], ""), (["fusion.units"], ""), (["c"], "function"), (["d"], "typing")]
    assert Import("fusion/resampling/points.py", "fusion.resampling._kernels", "function") in imports()
    assert len(sources()) > 30


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down(package: str) -> None:
    forbidden = set(PACKAGES) - BELOW[package] - {package}
    wrong = [entry for entry in imports() if entry.file.startswith(f"{package}/") and entry.top in forbidden]
    assert wrong == []


@pytest.mark.parametrize(("library", "owner"), OWNERS.items())
def test_a_library_of_one_package_is_imported_there_alone(library: str, owner: str) -> None:
    users = {entry.file.partition("/")[0] for entry in imports() if entry.top == library}
    assert users <= {owner}


def test_kernels_know_numpy_and_numba_only() -> None:
    kernels = [entry for entry in imports() if re.search(r"/_\w*kernels?\w*\.py$", entry.file)]
    assert {entry.file for entry in kernels} >= {"fusion/resampling/_kernels.py"}
    allowed = {"numpy", "numba", *sys.stdlib_module_names}
    others = [entry for entry in kernels if entry.top not in allowed]
    ours = ("kernels", "progress")
    assert [entry for entry in others if not entry.module.rpartition(".")[2].endswith(ours)] == []


def test_a_function_imports_only_what_is_heavy_or_optional() -> None:
    inner = [entry for entry in imports() if entry.within == "function"]
    wrong = [e for e in inner if e.top not in HEAVY and not e.module.startswith(tuple(DEFERRED.get(e.file, {"-"})))]
    assert wrong == []


def test_no_test_module_imports_another() -> None:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        modules = [
            name for node in ast.walk(ast.parse(path.read_text("utf-8"))) for name in modules_of(node, path.name)
        ]
        assert [name for name in modules if name.rpartition(".")[2].startswith("test_")] == [], path


def test_no_import_within_a_function_hides_a_circle() -> None:
    """Every module of the house imports on its own at the top of a file, following the order of a graph."""
    graph: dict[str, set[str]] = {}
    for entry in imports():
        module = entry.file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if not module.count("."):
            continue
        if entry.within != "typing" and entry.top in PACKAGES and is_module(entry.module) and "." in entry.module:
            graph.setdefault(module, set()).add(entry.module)
    from graphlib import TopologicalSorter

    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if length_of(node) > 50] == []


def test_no_file_of_the_tests_is_long() -> None:
    files = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in files if len(path.read_text("utf-8").splitlines()) > 450] == []


def length_of(function: ast.FunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    text = ast.get_docstring(function, clean=False)
    return function.end_lineno - function.lineno + 1 - (0 if text is None else len(text.splitlines()))


COMPUTING = {
    "fusion": {"affine", "registration", "grids", "resampling", "placing", "fused", "statistics", "specimens"},
    "spectra": {"cleaning", "factorisation", "decomposition", "lines"},
    "volumes": {"tomography", "points", "surfaces", "segmentation"},
}
"""The rooms where numbers are made, and not only carried, drawn or written."""
PRODUCTS = (ast.Mult, ast.Div, ast.Pow, ast.MatMult)


def is_numeric(path: Path) -> bool:
    """Whether a file of a computing room multiplies or divides in at least eight places."""
    package, room = path.relative_to(ROOT).with_suffix("").parts[:2]
    operations = (node.op for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.BinOp))
    return room in COMPUTING.get(package, ()) and sum(isinstance(one, PRODUCTS) for one in operations) >= 8


@pytest.mark.parametrize("path", [*filter(is_numeric, sources())], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_mathematics_is_explained_beside_the_code(path: Path) -> None:
    """Six lines of comment for a hundred of code: what is computed, in which unit, why this way, from which source."""
    text = path.read_text("utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [one.string for one in tokens if one.type == tokenize.COMMENT and "fmt:" not in one.string]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    docstrings = sum(len((ast.get_docstring(node, clean=False) or "").splitlines()) for node in nodes)
    code = sum(bool(line.strip()) for line in text.splitlines()) - docstrings - len(comments)
    assert len(comments) >= 0.06 * code


def test_most_files_fit_on_a_screen_or_two() -> None:
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in sources() if path.stem != "__init__"]
    assert statistics.median(lengths) <= 150


def rooms(package: str) -> dict[str, set[str]]:
    """Return what ARCHITECTURE.md lets each room of a package import beside the root of that package."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = page.partition(f"\n### {package}\n")[2].partition("\n##")[0]
    rows = re.findall(r"^\| (`\w+`|root) \|.*\| ([^|]*) \|$", table.replace("| |", "|  |"), re.MULTILINE)
    return {name.strip("`"): set(re.findall(r"`(\w+)`", allowed)) for name, allowed in rows}


def room(module: str) -> str:
    """Return the room in which a module of the house lies."""
    package, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    return name if (ROOT / package / name / "__init__.py").exists() and name else "root"


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_of_the_house_names_each_room_once(package: str) -> None:
    folders = [file.parent.name for file in (ROOT / package).glob("*/__init__.py")]
    assert sorted(rooms(package)) == sorted([*folders, "root"])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_room_imports_what_the_map_allows(package: str) -> None:
    allowed = rooms(package)
    inside = [entry for entry in imports() if entry.file.startswith(f"{package}/") and entry.top == package]
    inside = [entry for entry in inside if entry.file != f"{package}/__init__.py" and is_module(entry.module)]
    wrong = [
        e for e in inside if room(e.module) not in {room(module_of(e.file)), "root", *allowed[room(module_of(e.file))]}
    ]
    assert wrong == []


def test_the_map_allows_no_circle_of_rooms() -> None:
    from graphlib import TopologicalSorter

    for package in PACKAGES:
        graph = {name: allowed - {"root"} for name, allowed in rooms(package).items()}
        assert list(TopologicalSorter(graph).static_order())


def test_a_room_is_a_docstring_and_no_import() -> None:
    for init in (file for package in PACKAGES for file in (ROOT / package).glob("*/**/__init__.py")):
        body = ast.parse(init.read_text(encoding="utf-8")).body
        if init != ROOT / "fusion" / "techniques" / "__init__.py":
            assert len(body) == 1, init
        assert isinstance(body[0], ast.Expr), init
        assert isinstance(body[0].value, ast.Constant), init


def test_no_room_hides_a_public_function() -> None:
    for package in PACKAGES:
        public_names = set(importlib.import_module(package).__all__)
        folders = {init.parent.name for init in (ROOT / package).glob("*/**/__init__.py")} - {"techniques"}
        assert not public_names & folders, package


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_shows_the_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module) == sorted(module.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_the_one_of_this_repository(package: str) -> None:
    """`spectra` and `fusion` are names of other projects too."""
    file = importlib.import_module(package).__file__
    assert file is not None
    assert Path(file).is_relative_to(ROOT)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_plain_import_is_light(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & LIGHT[package] == set()


def public() -> list[tuple[str, object]]:
    """Return what the tables of contents name."""
    found = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        names = [name for name in vars(module) if not name.startswith("_")]
        items = [(f"{package}.{name}", getattr(module, name)) for name in names]
        found += [(name, item) for name, item in items if inspect.isfunction(item) or inspect.isclass(item)]
    return found


def test_the_tables_of_contents_hold_names_and_nothing_else() -> None:
    for package in PACKAGES:
        tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
        _docstring, *body = [ast.unparse(node) for node in tree.body if not isinstance(node, ast.ImportFrom)]
        listing, shown = body
        assert listing.startswith("__all__ = ["), package
        assert shown == "def __dir__() -> list[str]:\n    return __all__", package
        imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
        assert sorted(imported) == ast.literal_eval(listing.partition(" = ")[2]), package


@pytest.mark.parametrize(("name", "item"), public(), ids=[name for name, _ in public()])
def test_every_public_name_explains_itself(name: str, item: object) -> None:
    text = inspect.getdoc(item) or ""
    assert len(text.splitlines()[0]) > 15, f"{name} needs a first line"
    if not inspect.isfunction(item):
        return
    parameters = inspect.signature(item).parameters
    if parameters:
        assert "Parameters\n----------" in text, f"{name} does not describe its parameters"
        described = text.partition("Parameters\n----------")[2].partition("\n\n")[0]
        missing = [key for key in parameters if not re.search(rf"\b{key}\b", described)]
        assert missing == [], f"{name} does not describe {missing}"
    if inspect.signature(item).return_annotation not in (None, "None"):
        assert "Returns\n-------" in text, f"{name} does not say what it returns"


def committed() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        return sources()
    places = (ROOT / line for line in done.stdout.splitlines())
    return [place for place in places if place.is_file() and place != Path(__file__)]


PRIVATE = {
    "a path of one machine": r"(?<![\w.])/(work|root|home/\w+|Users/\w+)/",
    "a package index": r"(?im)(?<!emit-)\b(extra-)?index-url\b|--(find-links|trusted-host)\b|(?-i:^registry *=)",
    "unfinished work": r"\b(TODO|FIXME|XXX)\b",
}


@pytest.mark.parametrize("what", PRIVATE)
def test_no_text_carries_what_belongs_to_nobody_else(what: str) -> None:
    found = []
    for path in committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in re.finditer(PRIVATE[what], text)]
    assert found == []


SPELLED = {"ancillary_variables", "cell_methods"}
SPELLERS = {"fusion/conventions.py", "fusion/model.py"}


def spellings(path: Path) -> Iterator[str]:
    """Return the texts and keywords of a file that name an attribute or a standard error, docstrings aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose and is_spelling(node.value):
            yield f"{node.lineno}: {node.value}"
        if isinstance(node, ast.keyword) and node.arg != "cell_methods" and is_spelling(node.arg):
            yield f"{node.value.lineno}: {node.arg}="


def is_spelling(text: object) -> bool:
    """Whether a text is such a name; ``factor_stderr`` is a parameter of `spectra.quantify`."""
    return isinstance(text, str) and (text in SPELLED or (text.endswith("_stderr") and text != "factor_stderr"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_cell_methods_and_standard_errors_are_spelled_in_one_place(path: Path) -> None:
    """`fusion.conventions` has linked, cell_methods and stderr_name for it, `fusion.model` with_error."""
    if path.relative_to(ROOT).as_posix() not in SPELLERS:
        assert list(spellings(path)) == []


def test_hdf5_files_of_others_are_opened_in_one_place() -> None:
    """`fusion.files.hdf5.opened` refuses values that lie in other files; what opens a file beside it would not."""
    callers = {
        path.relative_to(ROOT).as_posix() for path in sources() if re.search(r"\bh5py\.File\(", path.read_text())
    }
    ours = {"fusion/files/store.py", "fusion/files/writer.py", "fusion/files/nexus.py", "volumes/exports/paraview.py"}
    ours |= {"fusion/transforms/itk.py"}
    assert callers <= {"fusion/files/hdf5.py", *ours}
