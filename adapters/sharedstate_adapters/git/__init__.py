"""The git store: shared state under a ref of its own at any git remote."""
