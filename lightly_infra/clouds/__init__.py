"""One room for each cloud, all of the same shape."""
