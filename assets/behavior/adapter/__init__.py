"""The adapter: what a fine-tune makes of a dataset, named by all that it was made of."""
