"""Transforms and landmarks in the files of other programs, with axis order, direction and unit made explicit."""
