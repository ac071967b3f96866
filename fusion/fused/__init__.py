"""Spectra in a volume, and what is read from them: spectra at positions, windows, correlations, profiles."""
