"""Our NetCDF file, written whole or not at all; HDF5 and NetCDF files of other programs."""
