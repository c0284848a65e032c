"""Declared experiments: a YAML file → trained models, figures with their seeds and circumstances, a page of results."""
