"""The mapped fields of a profile: native where a C compiler was there at installation, else the reference in Python.

Both keep the rules that `reference` states, and write the same bytes: workers of either kind share a topic.
"""

try:
    from streams.mapping.fields.native import Fields, Shape

    COMPILED = True
except ImportError:
    from streams.mapping.fields.reference import Fields, Shape

    COMPILED = False

__all__ = ["COMPILED", "Fields", "Shape"]
