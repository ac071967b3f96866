"""What RosettaSciIO reads, and what it leaves aside."""
