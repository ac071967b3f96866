"""Pages that answer to Python in a notebook."""
