"""Mazes on square grids: generated, solved, drawn as pictures, written as tokens."""
