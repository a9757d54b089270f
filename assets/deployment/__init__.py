"""What is deployed, in its own words, and how it is."""
