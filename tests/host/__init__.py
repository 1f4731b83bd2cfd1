"""Tests of plugins, with fixtures of their own."""
