"""Elements that figure kinds share: style, colours, pictures, intervals, and what several kinds collect."""
