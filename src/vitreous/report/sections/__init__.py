"""The report's sections, a file each: from the payload to markup, the answer first."""
