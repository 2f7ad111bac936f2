"""Adapters to outside systems, one folder each; they import the core and never each other."""
