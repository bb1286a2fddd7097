"""`python -m vitreous`: the command line."""

from vitreous.cli import main

main()
