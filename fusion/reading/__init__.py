"""What the readers of both wings share."""
