"""Files with spectra; a module for each format."""
