"""Is the candidate better than what is released? Metrics, paired intervals, the gate, frozen sets, the report."""
