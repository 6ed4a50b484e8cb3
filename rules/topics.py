"""Topics are dotted tokens; patterns take `*` for one token and `>` for the rest, as in NATS."""
