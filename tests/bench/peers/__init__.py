"""Stubs in the words of other servers; they run in an environment of their own."""
