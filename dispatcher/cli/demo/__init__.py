"""`dispatcher demo`: a server, two plugins and a folder of real files, on one screen."""
