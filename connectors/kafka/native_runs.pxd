"""Records as librdkafka holds them, for other compiled modules."""

from libc.stdint cimport int32_t, int64_t

cdef struct RawMessage:  # rd_kafka_message_t, a public structure of librdkafka 1 and 2
    int err
    void* topic
    int32_t partition
    void* payload
    size_t size
    void* key
    size_t key_size
    int64_t offset
    void* private


cdef class Run:
    cdef RawMessage** messages
    cdef Py_ssize_t count
    cdef int last_header(self, RawMessage* message, const char* name, const char** value, size_t* size) noexcept
