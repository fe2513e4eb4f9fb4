"""Backdoor attacks, one a file, each with its source and its equation.

`attack` says what an attack is: a frozen value that stamps images and names the labels it
wants. Everything an attack needs follows from its fields, so a benchmark can stamp test images
from the name of a recipe alone. `table` lists them: a new attack is a file and a line there.
"""
