"""Pairs of landmarks, picked by hand in two images."""
