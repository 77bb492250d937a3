"""Training: one loop for every stage, and the recipe of each stage."""
