"""What is shown: reports, figures, the inventory of a file, tables of formats and techniques."""
