"""Web pages for people: what the node does now, and saved reports; no scripts, no other site."""
