"""Where faces come from: one file for each data set, all giving the same FaceSource."""
