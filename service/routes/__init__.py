"""The HTTP endpoints: parse, call the pipeline, reply."""
