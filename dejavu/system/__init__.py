"""Services of the machine for all commands: whole files, locks, signals, progress, provenance. No torch."""
