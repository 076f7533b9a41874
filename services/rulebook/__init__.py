"""A site's rule book for people: looked at, explained, changed with a backtest before it, compared and rolled back."""
