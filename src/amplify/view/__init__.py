"""Looking at episodes in the viewers of the field."""
