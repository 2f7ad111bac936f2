"""Three-way merge of state that is kept in branches: records and journals, never a fence lower, no value lost."""
