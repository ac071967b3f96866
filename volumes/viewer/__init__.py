"""One HTML page that shows a fused volume and needs nothing else."""
