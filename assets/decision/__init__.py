"""Between the hands: evidence, verdict."""
