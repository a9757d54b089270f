"""Landed files: what a tick reads of them, and which days it touches."""
