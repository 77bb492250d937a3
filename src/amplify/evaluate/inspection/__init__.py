"""What is in a dataset and what is wrong with it, before hours are spent on learning from it."""
