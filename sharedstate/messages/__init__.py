"""Messages between agents that are never lost: outbox, transports, inbox, watermarks, guidance."""
