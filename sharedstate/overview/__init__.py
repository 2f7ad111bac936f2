"""Read models: what the journal and the records say, as immutable snapshots that every view renders."""
