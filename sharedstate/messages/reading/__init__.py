"""The receiving half: what stands in the store for mail, inboxes, threads and wanted acknowledgements."""
