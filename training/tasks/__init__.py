"""What a run trains: the network, its loss on a batch, and its score on the validation slice."""
