"""The operation itself: what a convolution computes, cell by cell, and which cells it sees."""
