"""Several tasks in one network: weights of their losses, consistency, part of the labels."""
