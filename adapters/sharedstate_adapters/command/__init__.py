"""Messages to a program: whatever can read a JSON object from its standard input can be an endpoint."""
