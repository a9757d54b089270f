"""What was spent and avoided: totals of the ledger, and the asset that shows them."""
