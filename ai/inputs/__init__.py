"""How each kind of input is made out of stored objects, and the way back."""
