"""The report of a run: a JSON payload, and what turns it into one HTML file."""
