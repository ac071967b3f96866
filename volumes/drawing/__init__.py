"""VTK grids, three-dimensional and flat pictures."""
