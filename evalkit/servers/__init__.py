"""Where the model answers: a server of our own, or one that runs already."""
