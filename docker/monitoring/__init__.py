"""Dashboard and alerts, made from the service's own list of time series.

`python -m docker.monitoring` writes them anew; a test compares what is committed.
"""
