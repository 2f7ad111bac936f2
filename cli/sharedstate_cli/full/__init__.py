"""What only people and rare verbs need, and what a hot verb cannot afford: typer, rich, pydantic are imported here alone."""
