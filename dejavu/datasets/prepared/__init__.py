"""The compact form of a dataset that training reads: arrays on disk, written and read."""
