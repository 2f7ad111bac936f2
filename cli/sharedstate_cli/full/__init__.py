"""What only people and rare verbs need: typer, rich, pydantic are imported here alone; no hot verb can afford them."""
