"""A policy behind a websocket: what robots send, mapped to observations; plans of many of them in one forward pass."""
