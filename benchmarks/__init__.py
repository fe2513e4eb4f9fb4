"""One script per claim the README makes; each writes its result to `benchmarks/results/`.

They need the GTSRB zips in the folder that HARDEN_GTSRB names.
"""
