"""File formats of images, labels, normals and segments, and names of files by pattern."""
