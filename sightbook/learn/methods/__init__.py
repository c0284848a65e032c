"""The methods: a file each, and the registry that finds them by name."""
