# cython: language_level=3, boundscheck=False, wraparound=False
"""Consumed messages by partition, in C: `by_partition` of `read_to_end.py`; a test compares both."""


def by_partition(list messages):
    """Return (messages by (topic, partition), in order; those that report an error)."""
    cdef dict found = {}
    cdef list errors = [], part = None
    cdef object message, topic, partition, last_topic = None, last_partition = None
    for message in messages:
        if message.error() is not None:
            errors.append(message)
            continue
        topic, partition = message.topic(), message.partition()
        # They come in long runs of one partition.
        if part is None or partition != last_partition or topic != last_topic:
            last_topic, last_partition = topic, partition
            part = found.get((topic, partition))
            if part is None:
                part = found[topic, partition] = []
        part.append(message)
    return found, errors
