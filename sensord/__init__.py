"""sensord senses, decides, runs and tells."""
