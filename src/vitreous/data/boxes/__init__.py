"""Boxes around things: how files of several kinds give them, and what is wrong with them."""
