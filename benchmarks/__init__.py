"""One script per claim that the pages make; each writes its result to `benchmarks/results/`.

They need the GTSRB zips in the folder that HARDEN_GTSRB names.
"""
