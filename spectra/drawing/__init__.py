"""Matplotlib figures of spectra, decompositions and their diagnostics."""
