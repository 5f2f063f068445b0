"""Loss terms: pure functions first."""
