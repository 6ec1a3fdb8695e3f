"""A reader of chunks (docs/wire_format.md, format version 2), written from the document alone: the
tests compare what the two engines emit without asking the code that emitted it. Only chunks
exported with "compress": "none" are read.

    chunk = decode(bytes)
    chunk.sites, chunk.header["row_count"], chunk.tables[0].rows, chunk.section_bytes
"""
import ctypes
import ctypes.util
import dataclasses
import struct

ABSENT = object()  # the writer did not know the column


class BadChunk(Exception):
    """The bytes contradict the document."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise BadChunk(f"{size} bytes wanted at {self.at}, {len(self.data) - self.at} left")
        self.at += size
        return self.data[self.at - size:self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                if byte == 0 and shift > 7:
                    raise BadChunk("a varint with superfluous bytes")
                return value

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def bytes(self):
        return self.take(self.varint())

    def text(self):
        return self.bytes().decode()

    def stream(self):
        return Reader(self.bytes())

    def done(self):
        return self.at == len(self.data)

    def end(self):
        if not self.done():
            raise BadChunk(f"{len(self.data) - self.at} bytes are left over")

    def runs(self):
        """(value, length) expanded."""
        out = []
        while not self.done():
            value, length = self.varint(), self.varint()
            if length < 1:
                raise BadChunk("an empty run")
            out += [value] * length
        return out


@dataclasses.dataclass
class Shape:
    whole: bool
    has_context: bool
    has_notes: bool
    rest: int
    cells: dict  # column position -> number of versions


@dataclasses.dataclass
class Row:
    key: tuple
    shape: Shape
    versions: list  # (site, seq, hlc, dead): `rest` first, then cell by cell
    cells: dict     # column name -> its values, one a version
    context: int = -1


@dataclasses.dataclass
class Table:
    name: str
    columns: list  # (name, logical type)
    key: list      # positions
    rows: list


@dataclasses.dataclass
class Chunk:
    sites: list
    header: dict
    contexts: list
    tables: list
    section_bytes: bytes


def hash_of(data):
    """XXH3-128 in canonical form, or None where there is no library to compute it."""
    name = ctypes.util.find_library("xxhash")
    if not name:
        return None

    class Hash(ctypes.Structure):
        _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]

    function = ctypes.CDLL(name).XXH3_128bits
    function.restype, function.argtypes = Hash, [ctypes.c_char_p, ctypes.c_size_t]
    found = function(data, len(data))
    return struct.pack(">QQ", found.high, found.low)


def decode(data):
    outer = Reader(data)
    if outer.take(4) != b"SYNC" or outer.byte() != 3:
        raise BadChunk("not a chunk of format version 3")
    if outer.byte() != 0:
        raise BadChunk("the body is compressed")
    body = Reader(outer.take(outer.varint()))
    hashed = hash_of(data[:outer.at])
    if outer.take(16) != (hashed or data[-16:]):
        raise BadChunk("the hash does not fit")
    outer.end()
    sites = [body.take(16).hex() for _ in range(body.varint())]
    if sites != sorted(set(sites)):
        raise BadChunk("the sites are not ascending")
    header = read_header(body, sites)
    contexts = [read_vector(body, sites, {}) for _ in range(body.varint())]
    header["settings"] = [read_setting(body) for _ in range(body.varint())]
    read_melting(body, sites, header)
    begin = body.at
    last_seq = {}
    tables = [read_section(body, sites, last_seq) for _ in range(body.varint())]
    body.end()
    if header["row_count"] != sum(len(table.rows) for table in tables):
        raise BadChunk("row_count does not fit")
    return Chunk(sites, header, contexts, tables, body.data[begin:])


def read_vector(body, sites, reference):
    vector, site = dict(reference), -1
    for _ in range(body.varint()):
        site += body.varint() + 1
        seq = body.varint()
        if seq:
            vector[sites[site]] = (seq, body.varint())
        else:
            del vector[sites[site]]
    return vector


def read_header(body, sites):
    header = {"sender": sites[body.varint()], "exchange": body.take(8), "number": body.varint(),
              "last": body.varint()}
    header["since"] = read_vector(body, sites, {})
    header["start"] = read_vector(body, sites, header["since"])
    header["knowledge"] = read_vector(body, sites, header["start"])
    header["predecessor"], header["token"] = body.bytes(), body.bytes()
    header["row_count"] = body.varint()
    return header


def read_setting(body):
    return {"key": body.text(), "value": body.text(), "hlc": body.varint(),
            "site": body.take(16).hex()}


def read_melting(body, sites, header):
    flags = body.byte()
    header["melted"] = read_vector(body, sites, header["since"]) if flags & 1 else {}
    header["ranges"] = [] if flags & 2 else None
    for _ in range(body.varint() if flags & 2 else 0):
        header["ranges"].append((body.text(), body.bytes(), body.byte(), body.bytes(),
                                 [body.text() for _ in range(body.varint())]))
    header["heard"] = {}
    for _ in range(body.varint() if flags & 4 else 0):
        site = sites[body.varint()]
        header["heard"][site] = read_vector(body, sites, header["start"])


def read_notes(rows, stream, sites, columns):
    for row in rows:
        row.notes = []
        for _ in range(stream.varint()):
            column, site = stream.varint(), sites[stream.varint()]
            name = columns[column - 1][0] if column else None
            row.notes.append((name, site, stream.varint(), stream.bytes()))
    stream.end()


def read_section(body, sites, last_seq):
    name = body.text()
    columns = [(body.text(), body.text()) for _ in range(body.varint())]
    key = [body.varint() for _ in range(body.varint())]
    count = body.varint()
    keys = list(zip(*[read_column(body, count) for _ in key]))
    shapes = [read_shape(body) for _ in range(body.varint())]
    rows = [Row(k, shapes[s], [], {}) for k, s in zip(keys, body.stream().runs())]
    if len(rows) != count:
        raise BadChunk(f"{name}: the shapes do not cover {count} rows")
    wanted = [row.shape.rest + sum(row.shape.cells.values()) for row in rows]
    if sum(wanted):
        versions = read_versions(body, sites, last_seq)
        for row, size in zip(rows, wanted):
            row.versions, versions = versions[:size], versions[size:]
        if versions:
            raise BadChunk(f"{name}: too many versions")
    with_context = [row for row in rows if row.shape.has_context]
    if with_context:
        ids = body.stream()
        for row in with_context:
            row.context = ids.varint()
        ids.end()
    with_notes = [row for row in rows if row.shape.has_notes]
    if with_notes:
        read_notes(with_notes, body.stream(), sites, columns)
    for position, (column, _) in enumerate(columns):
        if position not in key:
            read_values(body, rows, position, column)
    return Table(name, columns, key, rows)


def read_shape(body):
    flags, rest, cells, position = body.varint(), body.varint(), {}, -1
    for _ in range(body.varint()):
        position += body.varint() + 1
        cells[position] = body.varint()
    return Shape(bool(flags & 1), bool(flags & 2), bool(flags & 4), rest, cells)


def read_versions(body, sites, last_seq):
    runs, seqs, clocks, ids = body.stream().runs(), body.stream(), body.stream(), body.stream()
    distinct = []
    while not clocks.done():
        distinct.append(clocks.varint() + (distinct[-1] if distinct else 0))
    versions = []
    for run in runs:
        site = sites[run >> 1]
        last_seq[site] = last_seq.get(site, 0) + seqs.zigzag()
        versions.append((site, last_seq[site], distinct[ids.varint()], bool(run & 1)))
    seqs.end()
    ids.end()
    return versions


def read_values(body, rows, position, column):
    counts = [row.shape.cells.get(position, row.shape.rest if row.shape.whole else 0)
              for row in rows]
    values = read_column(body, sum(counts))
    for row, count in zip(rows, counts):
        if count:
            row.cells[column], values = values[:count], values[count:]


def read_column(body, count):
    if count == 0:
        return []
    kinds = body.stream().runs()
    if len(kinds) != count:
        raise BadChunk(f"{len(kinds)} values where {count} are due")
    integers = iter(read_integers(body) if 2 in kinds else ())
    reals = iter([struct.unpack("<d", body.take(8))[0] for _ in range(kinds.count(3))])
    blobs = iter(read_texts(body, kinds.count(4) + kinds.count(5)))
    read = {0: lambda: ABSENT, 1: lambda: None, 2: lambda: next(integers), 3: lambda: next(reals),
            4: lambda: next(blobs).decode("utf-8", "surrogateescape"), 5: lambda: next(blobs)}
    return [read[kind]() for kind in kinds]


def read_integers(body):
    mode, stream, out = body.byte(), body.stream(), []
    while not stream.done():
        value = stream.zigzag() + (out[-1] if mode and out else 0)
        out.append((value + 2**63) % 2**64 - 2**63)
    return out


def read_texts(body, count):
    if not count:
        return []
    if body.byte() == 1:
        spelled = [body.take(16).hex() for _ in range(count)]
        return ["-".join((s[:8], s[8:12], s[12:16], s[16:20], s[20:])).encode() for s in spelled]
    sizes, data = body.stream(), body.stream()
    out = [data.take(sizes.varint()) for _ in range(count)]
    sizes.end()
    data.end()
    return out
