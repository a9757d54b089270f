"""The systems that are compared: one small module each, all with the interface of `base.Peer`."""
