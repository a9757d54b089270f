"""How models/tiny-reader was made: data, tokenizer, training, evaluation. `python -m models.recipe --help`."""
