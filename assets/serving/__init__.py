"""Where the hands meet: release and answers."""
