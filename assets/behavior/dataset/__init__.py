"""The fine-tuning dataset: which answers may teach, and how they are written down. One file for each rule."""
