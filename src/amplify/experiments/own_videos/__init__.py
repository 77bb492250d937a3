"""Somebody's own videos and demonstrations, from files to a policy and a report."""
