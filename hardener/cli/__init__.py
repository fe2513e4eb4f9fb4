"""The command line: parse, one library call, print, exit code.

Exit codes: 0 done; 1 done, and the answer is bad news; 2 could not do the job; 3 done, but
inconclusive.

A command is one file in `commands/` and one line in `table`. Files import what is heavy only in
functions, so that --help stays quick.
"""

from hardener.cli.running import main, run

__all__ = ["main", "run"]
