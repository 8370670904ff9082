"""478 face landmarks: their graph, the network that finds them, and its teacher."""
