"""To HyperSpy and back."""
