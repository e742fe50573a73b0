#include "index_chunk.h"

#include <algorithm>

namespace candela::bus_role {

namespace {

uint64_t zigzag(int64_t value) {
    return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t unzigzag(uint64_t value) {
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

bool get_32(std::string_view& from, uint32_t& value) {
    uint64_t wide = 0;
    if (!get_varint(from, wide) || wide > UINT32_MAX) return false;
    value = static_cast<uint32_t>(wide);
    return true;
}

}  // namespace

void put_varint(std::string& out, uint64_t value) {
    while (value >= 0x80) {
        out += static_cast<char>(value | 0x80);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

bool get_varint(std::string_view& from, uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !from.empty(); shift += 7) {
        const auto byte = static_cast<uint8_t>(from.front());
        from.remove_prefix(1);
        value |= static_cast<uint64_t>(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

void ChunkWriter::begin(uint64_t block, uint32_t segment, uint32_t offset) {
    block_ = block;
    segment_ = segment;
    begin_ = offset;
    subjects_.clear();
    entries_.clear();
}

void ChunkWriter::add(const ChunkEntry& entry, std::string_view subject) {
    // Neighbours often share a subject; among at most 256 the search is short.
    const auto found = std::find(subjects_.rbegin(), subjects_.rend(), subject);
    entries_.push_back(entry);
    if (found != subjects_.rend()) {
        entries_.back().subject = static_cast<uint32_t>(subjects_.rend() - found - 1);
        return;
    }
    entries_.back().subject = static_cast<uint32_t>(subjects_.size());
    subjects_.emplace_back(subject);
}

RecordPtr ChunkWriter::finish(uint64_t stream, uint32_t end) {
    std::string out;
    put_varint(out, begin_);
    put_varint(out, end - begin_);
    put_varint(out, subjects_.size());
    for (const std::string& subject : subjects_) {
        put_varint(out, subject.size());
        out += subject;
    }
    put_varint(out, entries_.size());
    int64_t timestamp = 0;
    uint32_t offset = begin_;
    for (const ChunkEntry& entry : entries_) {
        out += static_cast<char>(entry.sequence & kBlockMask);
        put_varint(out, zigzag(entry.timestamp - timestamp));
        put_varint(out, entry.subject);
        put_varint(out, entry.size);
        put_varint(out, entry.offset - offset);
        put_varint(out, entry.previous == 0 ? 0 : entry.sequence - entry.previous);
        timestamp = entry.timestamp;
        offset = entry.offset;
    }
    entries_.clear();
    return encode_other(RecordType::kIndexChunk, stream, segment_, out, block_);
}

std::optional<IndexChunk> decode_chunk(RecordPtr record) {
    IndexChunk out;
    RecordView view;
    if (!decode_record(record->body, view) || view.type != RecordType::kIndexChunk)
        return std::nullopt;
    if (view.consumer > UINT32_MAX || view.sequence >> (64 - kBlockBits) != 0) return std::nullopt;
    out.block = view.sequence;
    out.segment = static_cast<uint32_t>(view.consumer);
    out.text = std::move(record);
    std::string_view rest = view.payload;
    uint32_t length = 0;
    uint32_t count = 0;
    if (!get_32(rest, out.begin) || !get_32(rest, length) || !get_32(rest, count))
        return std::nullopt;
    if (length > UINT32_MAX - out.begin || count > rest.size()) return std::nullopt;
    out.end = out.begin + length;
    for (; count != 0; --count) {
        uint32_t size = 0;
        if (!get_32(rest, size) || size > rest.size()) return std::nullopt;
        out.subjects.push_back(rest.substr(0, size));
        rest.remove_prefix(size);
    }
    if (!get_32(rest, count) || count > rest.size()) return std::nullopt;
    out.entries.reserve(count);
    int64_t timestamp = 0;
    uint32_t offset = out.begin;
    for (; count != 0; --count) {
        ChunkEntry entry;
        if (rest.empty()) return std::nullopt;
        entry.sequence = out.block << kBlockBits | static_cast<uint8_t>(rest.front());
        rest.remove_prefix(1);
        uint64_t time = 0;
        uint32_t step = 0;
        uint64_t distance = 0;
        if (!get_varint(rest, time) || !get_32(rest, entry.subject) || !get_32(rest, entry.size))
            return std::nullopt;
        if (!get_32(rest, step) || !get_varint(rest, distance)) return std::nullopt;
        if (entry.subject >= out.subjects.size() || distance > entry.sequence) return std::nullopt;
        if (step > out.end - offset) return std::nullopt;
        timestamp = static_cast<int64_t>(static_cast<uint64_t>(timestamp) +
                                         static_cast<uint64_t>(unzigzag(time)));
        offset += step;
        entry.timestamp = timestamp;
        entry.offset = offset;
        entry.previous = distance == 0 ? 0 : entry.sequence - distance;
        out.entries.push_back(entry);
    }
    return out;
}

}  // namespace candela::bus_role
