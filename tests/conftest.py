"""What holds for every test.

A property is judged by what it finds, never by how long this machine took over one example: a
deadline would make a busy machine look like a broken program.
"""

from hypothesis import settings

settings.register_profile("chainwatch", deadline=None, print_blob=True)
settings.load_profile("chainwatch")
