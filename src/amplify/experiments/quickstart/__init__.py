"""The quick-start: the whole loop in one command."""
