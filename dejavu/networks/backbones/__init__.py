"""Backbones that several base networks share."""
