"""Masks, a class for each pixel: how files of several kinds give them, and what is wrong."""
