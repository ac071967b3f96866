"""Decompositions of a labelled map; the labelled fronts of `spectra.factorisation`."""
