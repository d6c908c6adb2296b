"""How each kind of a model's output is checked and becomes findings."""
