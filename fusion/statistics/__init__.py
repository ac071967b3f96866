"""Numbers that compare datasets on one grid, with what may be concluded from them."""
