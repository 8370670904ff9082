"""What limits a fleet of replicas: a simulation of discrete events, driven by measured costs."""
