"""What several base networks are made of. Nothing here is a network of its own."""
