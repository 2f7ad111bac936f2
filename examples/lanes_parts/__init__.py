"""Parts of the example of three lanes: working copies, lanes, gateways."""
