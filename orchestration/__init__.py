"""When assets are made, where, and with which engine."""
