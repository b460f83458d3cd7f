"""A live camera whose frames are answered by several boards together."""
