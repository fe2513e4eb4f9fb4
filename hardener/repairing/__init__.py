"""Weights changed, graph untouched: invert, distil, invert again."""
