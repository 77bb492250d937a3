"""Meta-World v3: fifty tabletop tasks for a Sawyer arm, with scripted experts."""
