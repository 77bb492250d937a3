"""Named studies: a configuration, the stages it runs through, and the report it ends in."""
