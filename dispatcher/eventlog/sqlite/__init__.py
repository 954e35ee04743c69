"""Event log and journal in one SQLite file: WAL, synchronous FULL, one writer thread with group commit.

Records lie in batches (a group of records of one partition is one row): a commit of many records is one statement,
a scan decodes one row for many records.
"""
