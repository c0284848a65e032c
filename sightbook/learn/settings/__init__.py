"""The settings of training: how they are read, laid over one another and checked. No torch."""
