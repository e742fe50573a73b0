#include "proto/log_entries.h"

namespace candela::proto {

namespace {

// https://protobuf.dev/programming-guides/encoding
void append_varint(uint64_t value, std::string& out) {
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
}

constexpr size_t varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7) ++size;
    return size;
}

constexpr char number_tag(int field) { return static_cast<char>(field << 3); }
constexpr char bytes_tag(int field) { return static_cast<char>(field << 3 | 2); }

}  // namespace

void append_log_entry(uint64_t time, LogStream stream, std::string_view text, LineLevel level,
                      std::string_view trace_id, std::string& batch) {
    text = text.substr(0, kTextBytesMax);
    trace_id = trace_id.substr(0, kNameBytesMax);
    size_t size = 1 + varint_size(time) + 2 + 1 + varint_size(text.size()) + text.size();
    if (level != LineLevel::kUnknown) size += 2;
    if (!trace_id.empty()) size += 1 + varint_size(trace_id.size()) + trace_id.size();
    batch += bytes_tag(6);
    append_varint(size, batch);
    batch += number_tag(1);
    append_varint(time, batch);
    batch += number_tag(2);
    batch += static_cast<char>(stream);
    batch += bytes_tag(3);
    append_varint(text.size(), batch);
    batch += text;
    if (level != LineLevel::kUnknown) {
        batch += number_tag(4);
        batch += static_cast<char>(level);
    }
    if (!trace_id.empty()) {
        batch += bytes_tag(5);
        append_varint(trace_id.size(), batch);
        batch += trace_id;
    }
}

}  // namespace candela::proto
