"""Messages, claims and task state over HTTP: the client, and the gateway."""
