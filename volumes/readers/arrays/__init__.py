"""Formats of no one instrument: TIFF, slices, HDF5, NetCDF, MATLAB."""
