"""GNU Octave, which reads NetCDF through the C library, started as a process."""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

LIST = """
pkg load netcdf
function walk(node, path)
  if isfield(node, 'Variables')
    for variable = node.Variables
      printf('%s/%s\\n', path, variable.Name);
    end
  end
  for group = node.Groups
    walk(group, [path '/' group.Name]);
  end
end
walk(ncinfo(getenv('FILE')), '');
"""
READ = """
pkg load netcdf
printf('%.17g\\n', double(ncread(getenv('FILE'), getenv('VARIABLE'))));
"""


class Octave:
    """Octave at a path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def names(self, file: Path) -> list[str]:
        """Return the names of all variables, with their groups, as ``ncinfo`` lists them."""
        return self._run(LIST, FILE=str(file))

    def values(self, file: Path, name: str) -> Any:
        """Return the values of a variable in the order of the file, for Octave turns both dims and memory around."""
        return np.array(self._run(READ, FILE=str(file), VARIABLE=name), float)

    def _run(self, code: str, **variables: str) -> list[str]:
        command = [self._path, "--quiet", "--eval", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
        assert done.returncode == 0, done.stderr
        return done.stdout.split()
