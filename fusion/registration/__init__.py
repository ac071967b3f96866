"""A transform found between two datasets, with its error."""
