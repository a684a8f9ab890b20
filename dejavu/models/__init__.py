"""A run's network and its DejaVu wrapper, built and loaded."""
