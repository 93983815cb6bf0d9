# Somebody without a row and with one record of the common shape: what `FlatPass.person` gives, straight from its bytes.

cdef inline int put_part(Buffer* to, Slice part) except -1:
    """Write a JSON text or scalar as it is in the record: nothing in it is escaped."""
    return put_raw(to, part.data, part.size)


cdef int put_field(FlatPass self, tuple mapping, Slice value) except -1:
    """Write a text as it is hashed, in both ways, and as an entry of the request."""
    cdef Buffer* values = &self.values
    cdef Buffer* held = &self.held
    cdef Buffer* body = &self.body
    if values.size:
        put_char(values, b",")
        put_char(held, b",")
    put_char(values, b"[")
    put_text(values, mapping[1])
    put_raw(values, b',"Text",[', 9)
    put_part(values, value)
    put_raw(values, b"]]", 2)
    put_char(held, b"[")
    put_text(held, mapping[1])
    put_raw(held, b",[", 2)
    put_part(held, value)
    put_raw(held, b"]]", 2)
    put_raw(body, b',{"Key":', 8)
    put_bytes(body, mapping[3])
    put_raw(body, b',"Value":', 9)
    put_part(body, value)
    return put_char(body, b"}")


cdef int number_of(Fields* fields, str name) except -2:
    """Return the number of a field; -1: there is none of this name."""
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(name, &size)
    cdef int at
    for at in range(fields.count):
        if equals(fields.names[at], text, size):
            return at
    return -1


cdef bint put_fields(FlatPass self, Fields* fields) except -1:
    """As `FlatPass.put_values`; False: a value is none that is written as it is."""
    cdef tuple mapping
    cdef int at
    self.values.size = self.held.size = self.body.size = 0
    for mapping in self.mapped:
        at = number_of(fields, mapping[0])
        if at < 0:
            continue
        # Quotes included; not empty.
        if fields.values[at].data[0] != 34 or not 3 <= fields.values[at].size <= LONGEST_SHORT + 2:
            return False
        if mapping[2] != "Text" or not mapping[4]:
            return False
        put_field(self, mapping, fields.values[at])
    return True


cdef object texts_for(FlatPass self, str audience):
    """Return ([an audience's text], [its option]) when the job alone exports it and the list keeps it; None: not so."""
    cdef object known = value_of(self.texts, audience)
    if known is None:
        option = self.plan.option(audience)
        known = ([option[0]], [option]) if self.is_alone(audience) and option[0] is not None else False
        self.texts[audience] = known
    return known or None


cdef object newcomer_of(FlatPass self, PlainRecord plain, int64_t source):
    cdef Buffer* base = &self.base
    cdef Fields fields
    cdef bint ignored = False
    cdef int at
    cdef str email, name = None, digest, held_digest
    cdef object known = texts_for(self, plain.audience)
    if known is None or plain.at < self.started:
        return None
    fields.count = 0
    if plain.user != NULL:
        read_fields(plain.user, PyBytes_AS_STRING(plain.value) + PyBytes_GET_SIZE(plain.value), &fields, &ignored)
    if number_of(&fields, "email") >= 0 or not put_fields(self, &fields):
        return None
    at = number_of(&fields, self.name_field)
    if at >= 0:
        if fields.values[at].data[0] != 34:
            return None
        name = PyUnicode_DecodeUTF8(fields.values[at].data + 1, fields.values[at].size - 2, NULL)
    email = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(plain.key), PyBytes_GET_SIZE(plain.key), NULL)
    digest, held_digest = self.digest(email, name, known[0]), self.held_digest(email, name, known[1])
    base.size = 0
    put_raw(base, b'{"a":{', 6)
    put_text(base, plain.audience)
    put_raw(base, b":[", 2)
    put_int(base, RANK_OF_ENTER)
    put_char(base, b",")
    put_int(base, plain.at)
    put_char(base, b",")
    put_int(base, plain.position)
    put_char(base, b",")
    put_int(base, plain.appended)
    put_char(base, b",")
    put_int(base, plain.at)
    put_raw(base, b"]},", 3)
    for at in range(fields.count):
        if at:
            put_raw(base, b',"', 2)
        else:
            put_raw(base, b'"f":{"', 6)
        put_part(base, fields.names[at])
        put_raw(base, b'":[', 3)
        put_part(base, fields.values[at])
        put_char(base, b",")
        put_int(base, plain.at)
        put_char(base, b"]")
    if fields.count:
        put_raw(base, b"},", 2)
    put_raw(base, b'"l":{', 5)
    put_text(base, self.list_id)
    put_raw(base, b":[{", 3)
    put_text(base, self.job_id)
    put_raw(base, b":[", 2)
    put_text(base, digest)
    put_char(base, b",")
    put_int(base, plain.position)
    put_raw(base, b",1]},", 5)
    put_text(base, email)
    put_raw(base, b",[", 2)
    put_text(base, plain.audience)
    put_raw(base, b"],0,", 4)
    put_int(base, max(0, min(plain.at, plain.appended)))
    put_raw(base, b",0,0,", 5)
    put_int(base, plain.position)
    put_char(base, b",")
    put_text(base, held_digest)
    put_raw(base, b',""]},"p":', 10)
    put_int(base, source)
    put_char(base, b"}")
    if base.size > self.max_bytes:
        return None
    stored = taken_bytes(base)
    entry = self.entry(email, name, known[1])
    answers = [(plain.position, plain.appended, True)]
    return _new(FlatImport, (plain.key, entry, stored, False, False, answers, known[0]))


def newcomers(object stored, dict plain, object group_of, int64_t after, int64_t source, int partition):
    """Add everybody without a row and with one record of the common shape to their group; returns the others' rows.

    `stored`: (key, row or None) of each; `group_of`: the group of an audience or None; `after`, `source`: see `group_flat`.
    """
    cdef list others = []
    cdef tuple item
    cdef bytes key
    cdef PyObject* found
    cdef PlainRecord record
    cdef FlatPass passing = None
    cdef object group = None, queue = None, person, add = None
    cdef str audience = None
    cdef bint waits = False
    for item in stored:
        key = item[0]
        found = PyDict_GetItem(plain, key) if item[1] is None else NULL
        if found == NULL:
            others.append(item)
            continue
        record = <PlainRecord>found
        if record.audience is not audience:
            audience = record.audience
            group = group_of(audience)
            if group is not None:
                passing, queue, add = group.passing, group.opened.queue, group.people.append
                waits = len(queue) > 0
        if group is None or record.position <= after or (waits and (partition, key) in queue):
            others.append(item)
            continue
        person = newcomer_of(passing, record, source)
        if person is None:
            others.append(item)
        else:
            add(person)
    return others
