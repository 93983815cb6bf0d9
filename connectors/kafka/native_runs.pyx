# cython: language_level=3, boundscheck=False, wraparound=False
"""Records of a consumer's partitions as librdkafka holds them: an object each was most of the cost of a restore.

confluent-kafka stays the owner of the client: its configuration, its threads, its callbacks. Only the records of some
partitions are led into a queue of librdkafka of our own, which is emptied without the interpreter's lock. Callbacks
(log, error, token) stay in the consumer's own queue, where they need the client's frame around them: `consume` there.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject

import confluent_kafka
from confluent_kafka import KafkaError, cimpl


cdef extern from "dlfcn.h" nogil:
    void* dlopen(const char*, int)
    void* dlsym(void*, const char*)
    int RTLD_LAZY, RTLD_NOLOAD


ctypedef void* (*QueueNew)(void*) noexcept nogil
ctypedef void* (*QueueOfPartition)(void*, const char*, int32_t) noexcept nogil
ctypedef void (*QueueForward)(void*, void*) noexcept nogil
ctypedef void (*Destroy)(void*) noexcept nogil
ctypedef ssize_t (*ConsumeBatch)(void*, int, RawMessage**, size_t) noexcept nogil
ctypedef int (*MessageHeaders)(RawMessage*, void**) noexcept nogil
ctypedef int (*LastHeader)(void*, const char*, const void**, size_t*) noexcept nogil
ctypedef int (*AnyHeader)(void*, size_t, const char**, const void**, size_t*) noexcept nogil
ctypedef const char* (*TextOf)(void*) noexcept nogil

cdef void* _library = dlopen(cimpl.__file__.encode(), RTLD_LAZY | RTLD_NOLOAD)
cdef list _missing = []


cdef void* _function(bytes name):
    """A function of the librdkafka that confluent-kafka was linked with: the client's memory is that one's."""
    cdef void* found = NULL if _library is NULL else dlsym(_library, name)
    if found is NULL:
        _missing.append(name.decode())
    return found


cdef QueueNew queue_new = <QueueNew>_function(b"rd_kafka_queue_new")
cdef QueueOfPartition queue_of_partition = <QueueOfPartition>_function(b"rd_kafka_queue_get_partition")
cdef QueueForward queue_forward = <QueueForward>_function(b"rd_kafka_queue_forward")
cdef Destroy queue_destroy = <Destroy>_function(b"rd_kafka_queue_destroy")
cdef Destroy message_destroy = <Destroy>_function(b"rd_kafka_message_destroy")
cdef ConsumeBatch consume_batch = <ConsumeBatch>_function(b"rd_kafka_consume_batch_queue")
cdef MessageHeaders message_headers = <MessageHeaders>_function(b"rd_kafka_message_headers")
cdef LastHeader last_header = <LastHeader>_function(b"rd_kafka_header_get_last")
cdef AnyHeader any_header = <AnyHeader>_function(b"rd_kafka_header_get_all")
cdef TextOf topic_name = <TextOf>_function(b"rd_kafka_topic_name")
cdef TextOf client_name = <TextOf>_function(b"rd_kafka_name")
cdef TextOf message_error = <TextOf>_function(b"rd_kafka_message_errstr")

# Their consumers begin with the client's handle: a test compares its name. Others are read by the client's own calls.
FIRST_VERSION, BEHIND_LAST_VERSION = (2, 13), (2, 17)
if _missing:
    raise ImportError(f"librdkafka has no {', '.join(_missing)}")
if not FIRST_VERSION <= tuple(map(int, confluent_kafka.__version__.split(".")[:2])) < BEHIND_LAST_VERSION:
    raise ImportError(f"not known how confluent-kafka {confluent_kafka.__version__} keeps its client")


cdef void* _client(object consumer) except NULL:
    if not isinstance(consumer, cimpl.Consumer):
        raise TypeError("not a consumer of confluent-kafka")
    cdef void* found = (<void**>(<char*><PyObject*>consumer + sizeof(PyObject)))[0]
    if found is NULL:
        raise RuntimeError("the consumer is closed")
    return found


def name_of(consumer):
    """Return the client's name as librdkafka has it: `client.id`, `#consumer-` and a number."""
    return client_name(_client(consumer)).decode()


cdef class Record:
    """One record, or an error, with what confluent-kafka's Message answers; a copy, it stays as long as it is held."""

    cdef str _topic
    cdef int32_t _partition
    cdef int64_t _offset
    cdef object _key, _value, _headers, _error

    def topic(self):
        return self._topic

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset

    def key(self):
        return self._key

    def value(self):
        return self._value

    def headers(self):
        return self._headers

    def error(self):
        return self._error


cdef object _content(const void* start, size_t size):
    return None if start is NULL else PyBytes_FromStringAndSize(<const char*>start, size)


cdef Record _record(RawMessage* message):
    cdef Record record = Record.__new__(Record)
    cdef void* headers = NULL
    cdef const char* name
    cdef const void* value
    cdef size_t size, number = 0
    record._topic = topic_name(message.topic).decode()
    record._partition, record._offset = message.partition, message.offset
    if message.err:
        record._error = KafkaError(message.err, (message_error(message) or b"").decode(errors="replace"))
        return record
    record._key = _content(message.key, message.key_size)
    record._value = _content(message.payload, message.size)
    if message_headers(message, &headers) == 0:
        record._headers = []
        while any_header(headers, number, &name, &value, &size) == 0:
            record._headers.append((name.decode(), _content(value, size)))
            number += 1
    return record


cdef class Run:
    """Records of one partition, in order, until the queue is polled again or closed: it is empty then."""

    def __len__(self):
        return self.count

    def __getitem__(self, Py_ssize_t number):
        if number < 0:
            number += self.count
        if not 0 <= number < self.count:
            raise IndexError(number)
        return _record(self.messages[number])

    def __iter__(self):
        cdef Py_ssize_t number = 0
        while number < self.count:
            yield _record(self.messages[number])
            number += 1

    cdef int last_header(self, RawMessage* message, const char* name, const char** value, size_t* size) noexcept:
        """Find the last header of a name; 0 when there is none. `value` NULL: it has no content."""
        cdef void* headers = NULL
        if message_headers(message, &headers) != 0:
            return 0
        return last_header(headers, name, <const void**>value, size) == 0


cdef class PartitionQueue:
    """Takes the records of some partitions of a consumer from librdkafka. One thread only; close it before the consumer.

    Args:
        consumer: of confluent-kafka; the partitions are assigned to it after this queue was made, so none of their
            records goes another way.
        parts: topics and partitions.
        max_records: the most that one `poll` returns.
    """

    cdef object _consumer
    cdef void* _queue
    cdef RawMessage** _taken
    cdef RawMessage** _sorted
    cdef Py_ssize_t _size, _count
    cdef list _partition_queues, _runs
    cdef dict _slots

    def __cinit__(self, consumer, parts, Py_ssize_t max_records):
        cdef void* client = _client(consumer)
        cdef void* queue
        self._consumer, self._size, self._count = consumer, max_records, 0
        self._taken = <RawMessage**>PyMem_Malloc(max_records * sizeof(void*))
        self._sorted = <RawMessage**>PyMem_Malloc(max_records * sizeof(void*))
        if self._taken is NULL or self._sorted is NULL:
            raise MemoryError
        self._queue = queue_new(client)
        self._partition_queues, self._runs, self._slots = [], [], {}
        for topic, partition in parts:
            queue = queue_of_partition(client, topic.encode(), partition)
            if queue is NULL:
                raise RuntimeError(f"no queue of {topic}[{partition}]")
            queue_forward(queue, self._queue)
            self._partition_queues.append(<size_t>queue)
            self._slots[topic, partition] = len(self._slots)

    def __dealloc__(self):
        self._release()
        PyMem_Free(self._taken)
        PyMem_Free(self._sorted)

    def close(self):
        """Give everything back to librdkafka, and the partitions to the consumer's own queue."""
        self._release()
        self._consumer = None

    def poll(self, Py_ssize_t max_records, double seconds):
        """Return (runs by (topic, partition); errors), waiting at most so long for so many records."""
        cdef Py_ssize_t number, slot, at, wanted = min(max_records, self._size)
        cdef int wait_ms = <int>(seconds * 1000)
        cdef ssize_t taken
        cdef RawMessage* message
        cdef Run run
        if self._queue is NULL:
            raise RuntimeError("the queue is closed")
        self._free()
        with nogil:
            taken = consume_batch(self._queue, wait_ms, self._taken, wanted)
        if taken <= 0:
            return {}, []
        self._count = taken
        cdef list errors = [], counts = [0] * len(self._slots)
        cdef list slots = self._slots_of(errors, counts)
        cdef list places = []
        cdef dict found = {}
        at = 0
        for part, number in zip(self._slots, counts):
            places.append(at)
            if number:
                run = Run.__new__(Run)
                run.messages, run.count = self._sorted + at, number
                found[part] = run
                self._runs.append(run)
            at += number
        for first, behind, slot in slots:
            at = places[slot]
            for number in range(first, behind):
                self._sorted[at] = self._taken[number]
                at += 1
            places[slot] = at
        return found, errors

    cdef list _slots_of(self, list errors, list counts):
        """Return the stretches of one partition each, (first, behind the last, slot); they are long."""
        cdef list stretches = []
        cdef Py_ssize_t number = 0, first
        cdef RawMessage* message
        while number < self._count:
            message = self._taken[number]
            if message.err:
                errors.append(_record(message))
                number += 1
                continue
            first = number
            while (
                number < self._count
                and not self._taken[number].err
                and self._taken[number].partition == message.partition
                and self._taken[number].topic == message.topic
            ):
                number += 1
            slot = self._slots.get((topic_name(message.topic).decode(), message.partition))
            if slot is not None:
                stretches.append((first, number, slot))
                counts[slot] += number - first
        return stretches

    cdef void _free(self):
        cdef Run run
        cdef Py_ssize_t number
        for run in self._runs:
            run.count = 0
        self._runs.clear()
        with nogil:
            for number in range(self._count):
                message_destroy(self._taken[number])
        self._count = 0

    cdef void _release(self):
        if self._queue is NULL:
            return
        self._free()
        for queue in self._partition_queues:
            queue_forward(<void*><size_t>queue, NULL)
            queue_destroy(<void*><size_t>queue)
        self._partition_queues.clear()
        queue_destroy(self._queue)
        self._queue = NULL
