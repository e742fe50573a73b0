#include "pack.h"

#include <zstd.h>

#include "base/check.h"
#include "index_chunk.h"

namespace candela::bus_role {

namespace {
constexpr int kLevel = 1;
}

void Packer::add(const Record& record) {
    put_varint(text_, record.body.size());
    text_ += record.body;
}

// Where it does not shrink it is stored all the same: the frame costs a few bytes.
RecordPtr Packer::finish(uint64_t stream) {
    std::string packed(ZSTD_compressBound(text_.size()), '\0');
    const size_t size =
        ZSTD_compress(packed.data(), packed.size(), text_.data(), text_.size(), kLevel);
    CANDELA_CHECK(ZSTD_isError(size) == 0);
    packed.resize(size);
    RecordPtr out = encode_other(RecordType::kPacked, stream, text_.size(), packed);
    text_.clear();
    return out;
}

std::vector<RecordPtr> unpack(const RecordView& packed) {
    std::vector<RecordPtr> out;
    if (packed.consumer > kRecordBytesMax) return out;
    std::string text(packed.consumer, '\0');
    const size_t size =
        ZSTD_decompress(text.data(), text.size(), packed.payload.data(), packed.payload.size());
    if (ZSTD_isError(size) != 0 || size != text.size()) return out;
    std::string_view rest = text;
    uint64_t length = 0;
    while (!rest.empty() && get_varint(rest, length) && length <= rest.size()) {
        out.push_back(make_record(std::string(rest.substr(0, length))));
        rest.remove_prefix(length);
    }
    return out;
}

}  // namespace candela::bus_role
