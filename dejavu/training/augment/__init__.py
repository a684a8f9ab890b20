"""Random views of images and their targets: scale, crop, flip, colour."""
