"""What Label Studio and annotators' browsers read from Holdfast over HTTP."""
