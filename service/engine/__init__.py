"""The one owner of the device: everything that computes on pixels stands behind `Engine`."""
