"""What other programs see in the files of a run: each opens them with its own library and says what is there.

python benchmarks/conspectus/programs.py out/demo                                 # prints the table
python benchmarks/conspectus/programs.py out/demo --page docs/programs.md         # writes it
python benchmarks/conspectus/programs.py out/demo --checker compliance-checker    # with the checker of CF
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import xarray as xr

FILES = ("specimen.nc", "fused.nc")
HEAD = """# What other programs see

`specimen.nc` holds all datasets of a run as groups, `fused.nc` the fused one, flat. The table is made from the results
of `make demo`, every value read, by

    python benchmarks/conspectus/programs.py out/demo --page docs/programs.md --checker compliance-checker

Octave's `ncread` reads whatever is in a file; its `ncinfo` (package netcdf 1.0.16) stops at attributes that are lists
of texts, and at groups within groups.

| program | file | what it sees |
|---|---|---|
"""


def xarray_dataset(path: Path, engine: Any) -> str:
    with xr.open_dataset(path, engine=engine) as ds:
        return described(ds)


def xarray_tree(path: Path, engine: Any) -> str:
    with xr.open_datatree(path, engine=engine) as tree:
        nodes = [node for node in tree.subtree if node.has_data]
        loaded = [node.to_dataset().load() for node in nodes]
        variables = sum(len(node.data_vars) for node in nodes)
        return f"{len(loaded)} dataset{'s' * (len(loaded) > 1)} with {variables} variables, all values read"


def netcdf4(path: Path) -> str:
    with netCDF4.Dataset(path) as file:
        owners = [file, *file.groups.values()]
        names = [variable for owner in owners for variable in owner.variables.values()]
        read = [np.asarray(variable[...]).size for variable in names]
        return f"{len(file.groups)} groups, {len(names)} variables, {sum(read):,} values read"


def hdf5(path: Path) -> str:
    found: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        values = sum(file[name][()].size if file[name].shape is not None else 0 for name in found)
    return f"{len(found)} datasets, {values:,} values read"


def vtk(path: Path) -> str:
    from vtkmodules.vtkIONetCDF import vtkNetCDFCFReader

    reader = vtkNetCDFCFReader()
    reader.SetFileName(str(path))
    reader.SphericalCoordinatesOff()
    reader.UpdateMetaData()
    dims = [reader.GetAllDimensions().GetValue(index) for index in range(reader.GetAllDimensions().GetNumberOfValues())]
    if "(z, y, x)" not in dims:
        return "nothing: it looks at the root alone, which holds attributes" if not dims else f"variables along {dims}"
    reader.SetDimensions("(z, y, x)")
    reader.Update()
    grid = reader.GetOutput()
    data = grid.GetPointData() if grid.GetPointData().GetNumberOfArrays() else grid.GetCellData()
    bounds = ", ".join(f"{low:.2f} to {high:.2f}" for low, high in np.reshape(grid.GetBounds(), (3, 2)))
    return f"{data.GetNumberOfArrays()} volumes, from x, y, z = {bounds} um"


def ncdump(path: Path) -> str:
    text = output(["ncdump", "-h", str(path)])
    groups, variables = (
        len(re.findall(r"^\s*group: ", text, re.M)),
        len(re.findall(r"^\s+\w+ [^\s:]+\(.*\) ;$", text, re.M)),
    )
    return f"{groups} groups, {variables} variables with dims, units on {len(re.findall(r':units = ', text))}"


def octave(path: Path) -> str:
    """Let Octave read every variable by its name, and say whether `ncinfo` lists the file."""
    with netCDF4.Dataset(path) as file:
        groups = {"": file, **{f"/{name}": group for name, group in file.groups.items()}}
        names = [f"{where}/{name}" for where, group in groups.items() for name in group.variables]
    code = """
        pkg load netcdf
        path = getenv('FILE'); names = strsplit(getenv('NAMES'), ','); values = 0; listed = 'lists them';
        for name = names
          values += numel(ncread(path, name{1}));
        end
        try
          ncinfo(path);
        catch
          listed = ['stops: ' lasterr];
        end
        printf('%d variables, %d values read by ncread; ncinfo %s', numel(names), values, listed);
    """
    variables = {**os.environ, "FILE": str(path), "NAMES": ",".join(names)}
    return output(["octave-cli", "--quiet", "--eval", code], env=variables)


def cf(path: Path, checker: str) -> str:
    """Return the errors and the warnings of the checker, strict; the warnings by their paragraph."""
    counts = []
    for criteria in ("lenient", "strict"):
        text = output([checker, "--test=cf:1.11", f"--criteria={criteria}", "--format=text", str(path)])
        counts.append(re.findall(r"^(§.*)$", text, re.M))
    if counts[0]:
        raise ValueError(", ".join(counts[0]))
    warned = f"; a warning on {', '.join(counts[1])}" if counts[1] else ""
    return f"0 errors{warned}"


def output(command: list[str], **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if not done.stdout:
        raise OSError(done.stderr or f"{command[0]} prints nothing")
    return done.stdout


def described(ds: xr.Dataset) -> str:
    if not ds.variables:
        return "attributes alone; the datasets are groups (`group='fused'`)"
    values = sum(array.values.size for array in ds.variables.values())
    return f"{len(ds.data_vars)} variables along {', '.join(map(str, ds.dims))}, {values:,} values read"


def programs(checker: str) -> Iterator[tuple[str, Callable[[Path], str]]]:
    """Yield every program that is installed here."""
    for engine in ("h5netcdf", "netcdf4"):
        yield f"xarray, `open_dataset`, {engine}", lambda path, engine=engine: xarray_dataset(path, engine)
        yield f"xarray, `open_datatree`, {engine}", lambda path, engine=engine: xarray_tree(path, engine)
    yield "netCDF4", netcdf4
    yield "h5py", hdf5
    yield "VTK and ParaView, NetCDF reader", vtk
    if shutil.which("ncdump"):
        yield "ncdump", ncdump
    if shutil.which("octave-cli"):
        yield "Octave", octave
    if checker:
        yield "CF compliance-checker 1.11", lambda path: cf(path, checker)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--checker", default="")
    options = parser.parse_args()
    rows = []
    for name, look in programs(options.checker):
        for file in FILES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    seen = look(options.folder / file)
                except Exception as error:  # the point of the table
                    seen = f"**{type(error).__name__}**: {str(error).splitlines()[0]}"
            rows.append(f"| {name} | `{file}` | {seen} |")
            print(rows[-1], flush=True)
    if options.page:
        options.page.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    sys.exit(any("**" in row for row in rows))


if __name__ == "__main__":
    main()
