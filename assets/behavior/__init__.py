"""The slow hand: interactions, dataset, adapter, evaluation."""
