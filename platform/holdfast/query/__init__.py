"""What to ask next?"""
