"""Streams of daily counts with and without a change of behavior, the peers that watch them, and the decision's test."""
