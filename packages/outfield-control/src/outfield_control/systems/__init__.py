"""What stands for published systems in this package, and what was measured."""
