"""Modules that base networks share. Nothing here is a network of its own."""
