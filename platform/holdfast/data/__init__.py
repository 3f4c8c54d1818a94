"""Files become samples, versions and experiences."""
