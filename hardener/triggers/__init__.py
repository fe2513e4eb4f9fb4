"""What a backdoor answers to, one file a family; `families` is their table.

A new family of triggers is its file here and a line in the table, and its search's file and line in
`hardener.scanning.searches`. Nobody else asks a trigger what it is: whoever needs to know something
about a family reads its record.
"""
