"""Equivalent forms of EEG convolutions that need a fraction of the time: the same function.

A network for EEG makes large maps of cheap sums: a temporal kernel of 1 x k on every electrode,
then a spatial kernel over all electrodes. The forms here compute the same values, gradients and
batch statistics without those maps. The plain form stays what a network is; it is what the trace
shows.
"""
