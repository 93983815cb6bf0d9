"""The public contract: a pydantic model per topic, the table of topics, and what is generated from them.

Nothing here imports anything of ours, so that a producer or consumer may use this package alone.
"""
