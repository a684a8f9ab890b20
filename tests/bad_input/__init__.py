"""Malformed inputs of every kind, sent through the command line: each must be refused in one clear sentence.

`checks.py` says what that means, once; the modules beside it are lists of what is wrong with what.
"""
