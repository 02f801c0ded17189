"""The command line: one file per group of verbs, each thin: parse, call, print.

What a program reads goes to standard output, what a person reads to standard error; 0 is success.
"""
