"""What parses hostile bytes. Runs in worker processes only, so nothing here imports the server.

Every public function named in `identify/builtin.py` takes (path, fields known so far) and gives fields to set.
"""
