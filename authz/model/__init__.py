"""The nouns as frozen values. This room knows the standard library and nothing else."""
