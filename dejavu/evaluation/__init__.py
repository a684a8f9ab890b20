"""Weights and images -> predictions -> metrics."""
