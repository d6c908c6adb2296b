"""Train a small classifier on synthetic chest radiographs, from the images to the model card.

`python -m ai.training --help` says how. PyTorch is needed for training alone; it is imported by
ai/training/network.py, fit.py and export.py, and those by the command that trains.
"""
