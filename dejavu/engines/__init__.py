"""Snakemake, DVC and Slurm: the pipeline as they need it, and what keeps each from harming the others."""
