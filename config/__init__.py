"""The config file: its shape, how it is read, where secrets come from."""
