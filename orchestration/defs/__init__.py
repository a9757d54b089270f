"""Where `dg` would scaffold components. Definitions are assembled in orchestration.definitions instead."""
