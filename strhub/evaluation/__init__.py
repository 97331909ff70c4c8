"""Score readings against labels."""
