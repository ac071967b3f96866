"""The cells of two grids, and what they share."""
