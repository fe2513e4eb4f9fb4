"""Which channels go, and at what price."""
