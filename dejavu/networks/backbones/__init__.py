"""Backbones that base networks share."""
