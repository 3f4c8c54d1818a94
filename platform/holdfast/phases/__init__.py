"""What happens in each phase of a round: stations joined through the ledger."""
