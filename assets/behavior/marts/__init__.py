"""The marts: what dbt makes of interactions and attributions, as assets."""
