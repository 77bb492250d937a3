"""The engine of all studies: cells (frozen configurations with a result), a store of finished ones, a report."""
