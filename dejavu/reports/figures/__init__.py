"""Figures: drawing on plain arrays, one figure a file. What they show is computed by `stages.figures`."""
