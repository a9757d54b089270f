"""One file per engine; each fits a Protocol of `assets.ports` and translates its vendor's errors."""
