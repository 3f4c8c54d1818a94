"""Are the labels right: audit, consensus, annotators."""
