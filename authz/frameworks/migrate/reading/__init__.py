"""Text to syntax trees: where it is found, how Python 2 is read as well, and what names refer to."""
