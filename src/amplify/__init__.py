"""AMPLIFY: robot learning from videos without actions, through discrete motion tokens."""
