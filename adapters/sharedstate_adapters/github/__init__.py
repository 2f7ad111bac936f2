"""GitHub: one tidy state comment per issue, labels, project status; and claims through GitHub alone."""
