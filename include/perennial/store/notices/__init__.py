"""What befell models and who was told of it: two tables, and the statements on them."""
