"""AffectSR over HTTP and on the command line: images in, upscaled faces out."""
