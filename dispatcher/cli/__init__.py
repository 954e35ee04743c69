"""The command line: talks to people, and to a server over HTTP."""
