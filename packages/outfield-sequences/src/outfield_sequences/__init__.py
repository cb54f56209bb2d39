"""Algorithmic tasks, mazes and tiny attention networks for outfield."""
