"""Information Object Definitions: which attributes an object of a SOP class has to hold."""
