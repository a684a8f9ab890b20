"""What several figures are drawn from."""
