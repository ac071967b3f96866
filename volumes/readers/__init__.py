"""Files with images and volumes; a module for each format, on the shelf of its instrument."""
