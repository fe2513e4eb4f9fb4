"""Detectors: each looks at a subject for one kind of sign of a backdoor; one file each."""
