"""The sync engine: mirrors task state to a board, and brings what people change there back to the fleet."""
