"""Files of others are read in a process of their own."""
