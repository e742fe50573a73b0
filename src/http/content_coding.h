#pragma once

// Compressing answers on their way: gzip, br and zstd (RFC 9110 §8.4, RFC 1952, 7932, 8878). Which
// of them a client takes, whether an answer is worth it, and the encoders. One loop.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "http/h1_parser.h"
#include "http/headers.h"

namespace candela::http {

enum class ContentCoding : uint8_t { kIdentity, kGzip, kBrotli, kZstd };
std::string_view to_string(ContentCoding coding);  // as Content-Encoding says it

inline constexpr std::array kContentCodings = {ContentCoding::kZstd, ContentCoding::kBrotli,
                                               ContentCoding::kGzip};

// Which of those offered a client likes best (RFC 9110 §12.5.3), of equals the first.
ContentCoding choose_coding(const Headers& request,
                            std::span<const ContentCoding> offered = kContentCodings);

// Whether a body of that type gets smaller.
bool is_compressible(std::string_view content_type);

// Of bodies that are known to be smaller nothing is gained.
inline constexpr uint64_t kCompressedBytesMin = 256;

// Compresses one body. Appends to `out`, which the caller bounds by how often it calls.
class ContentEncoder {
public:
    virtual ~ContentEncoder() = default;
    virtual void push(std::string_view bytes, std::string& out) = 0;
    // All that was pushed can be read by the client after this.
    virtual void flush(std::string& out) = 0;
    virtual void finish(std::string& out) = 0;
};

// Null where there is no memory for it.
std::unique_ptr<ContentEncoder> make_encoder(ContentCoding coding);

// How an answer goes to the client.
struct CodedAnswer {
    ContentCoding coding = ContentCoding::kIdentity;
    Framing framing;
};
// Whether the answer is to be compressed, if the caller may do so. Appends what has to be said of
// it: Vary, where Accept-Encoding matters, also where this one is not coded.
CodedAnswer code_answer(const RequestHead& request, const ResponseHead& answer,
                        const Framing& framing, bool may_encode, Headers& added);
// Fields of the service's answer that are not true of the coded one.
bool is_changed_by_coding(std::string_view name);

}  // namespace candela::http
