"""The commands of `affectsr`, one a file: its arguments, and what runs it.

torch takes seconds to import, so what needs it is imported when the command runs.
"""
