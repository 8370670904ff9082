"""`affectsr upscale`: image files through the same pipeline as the service's, without HTTP.

sources.py finds what is to be read, and plan.py says what each becomes, before anything is loaded;
journal.py remembers what is done; outputs.py writes files whole or not at all; run.py does the
work.
"""
