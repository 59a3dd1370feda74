"""Images on the user's machine: found, digested, split and decoded into the cache.  numpy and Pillow; what needs torch
goes through a child process."""
