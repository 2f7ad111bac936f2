"""Shared services: who owns one, which process is it, who may start and stop it."""
