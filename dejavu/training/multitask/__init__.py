"""More than one task in a network: weights of their losses, consistency, partial labels."""
