"""A small ray caster of street scenes.

`geometry` (camera, solids, their intersections with rays), `noise` and `materials` (what surfaces look
like), `objects` and `street` (objects and their positions), `render` (the picture and its exact truth).

One convention throughout: metres, x to the right, y DOWN, z forward, for the world (ground at
y = 0, so a height h is y = -h) as for the camera. Vectors are arrays of shape (3, N).
"""
