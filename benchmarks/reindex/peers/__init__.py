"""The systems that are compared: one module each, all with the interface of `base.System`."""
