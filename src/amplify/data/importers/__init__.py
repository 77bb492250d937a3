"""Readers of other people's files: each yields episodes, or what belongs to one."""
