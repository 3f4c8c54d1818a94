"""Label Studio beside Holdfast: installed apart, started on loopback, for people and for tests."""
