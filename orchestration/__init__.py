"""When assets are made, where, and with which engine."""

import gc

# Every run is a process of its own, and most of a short one is imports. They make a million objects that stay; with the
# default threshold (700) looking for garbage among them takes a quarter of that time, 0.9 s of a re-index.
gc.set_threshold(50_000, 20, 20)
