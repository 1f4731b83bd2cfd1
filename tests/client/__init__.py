"""Tests of the client, with fixtures of their own."""
