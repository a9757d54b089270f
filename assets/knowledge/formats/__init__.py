"""One file per format: bytes to `base.Parsed`, or `base.Refused`. Nothing heavy is imported before it is needed."""
