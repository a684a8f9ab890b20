"""Snakemake, DVC and Slurm: dependencies of the pipeline, and locks between the engines."""
