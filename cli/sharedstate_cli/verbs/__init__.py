"""The handlers, one module per verb or small family; the table names them, and they are loaded when they run."""
