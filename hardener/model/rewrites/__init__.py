"""Ways to write a pruning into the graph, one file each.

`mask` and `fold` zero channels for good, `slim` takes them out, `guard` zeroes them for one image
at a time, `clip` lowers what exceeds a bound.
"""
