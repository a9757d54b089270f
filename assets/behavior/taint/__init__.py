"""Which datasets and adapters were made of interactions that do not stand any more."""
