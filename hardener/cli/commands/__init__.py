"""The commands, one a file: options, the call, what a terminal shows of it, what comes next."""
