"""Attacks on plugins' walls, at random by a seed: ``make fuzz``."""
