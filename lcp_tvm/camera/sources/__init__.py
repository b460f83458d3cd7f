"""Where frames come from: a file a kind."""
