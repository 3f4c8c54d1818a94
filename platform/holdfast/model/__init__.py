"""What the network says."""
