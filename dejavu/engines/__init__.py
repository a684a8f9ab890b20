"""What keeps Snakemake, DVC and Slurm from spoiling each other's work."""
