"""Seeded mutation of real files: seeds, mutations, cases, and the child that each runs in."""
