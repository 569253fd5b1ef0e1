"""One module a schema version, named `vNUMBER_WHAT`; what has been released is never edited again."""
