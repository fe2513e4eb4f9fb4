"""The texts that a document can be printed as, one a file; they import their renderers late."""
