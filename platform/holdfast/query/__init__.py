"""What to ask next: uncertain, rare, novel and doubtful samples."""
