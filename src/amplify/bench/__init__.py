"""How fast: the paper's models beside a plain formulation of the same functions, timed in one run."""
