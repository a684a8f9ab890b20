"""The forms in which NYU Depth v2 is published: the official file, MTAN's release, PNGs of a mirror."""
