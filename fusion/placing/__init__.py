"""Between a map and a volume: placed, measured again, projected, and the mean of a region."""
