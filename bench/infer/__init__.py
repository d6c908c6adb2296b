"""What asking a model costs through the node's client, and what happens when servers die."""
