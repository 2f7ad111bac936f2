"""The hub: who is doing what right now, everywhere, in under a second; events, and a record of work done."""
