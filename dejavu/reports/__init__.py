"""Results -> tables and figures. Nothing here trains."""
