"""The version of this package, stated here and nowhere else."""

__version__ = "1.2.0"
