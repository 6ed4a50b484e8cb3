"""The bus and what hangs on it: an event goes in, everyone subscribed gets a message."""
