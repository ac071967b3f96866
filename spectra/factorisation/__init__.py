"""A map as a matrix, its factors and their errors; no labels come out."""
