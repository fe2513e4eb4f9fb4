"""Classifiers of many architectures, exporters, types and forms, with random weights."""
