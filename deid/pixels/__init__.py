"""Clean Pixel Data (PS3.15 E.3.1): find text that is burned into pixels, and blank it."""
