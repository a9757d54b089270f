"""Logs in other formats, as interactions."""
