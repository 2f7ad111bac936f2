"""Real servers for tests: started on free loopback ports, stopped with the process that started them."""
