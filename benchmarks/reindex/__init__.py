"""Re-indexing: what it costs to keep an index equal to changing documents, beside the peers."""
