"""Common elements of the figure kinds: style, colours, pictures, intervals and data."""
