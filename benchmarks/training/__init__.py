"""Training against TRL."""
