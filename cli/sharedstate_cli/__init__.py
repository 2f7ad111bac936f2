"""The `claims` command and everything else that a person or a scheduler drives."""
