"""What others publish, in our own words, so that it can be run beside ours on one machine."""
