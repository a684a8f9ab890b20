"""What every command needs of the machine: whole files, locks, signals, progress, provenance. No torch."""
