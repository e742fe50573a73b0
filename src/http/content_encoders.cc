// The encoders, by zlib, brotli and zstd. Levels are those at which a loop loses little time: an
// edge compresses every answer anew.

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "http/content_coding.h"

namespace candela::http {
namespace {

constexpr size_t kPieceBytes = 16 * 1024;  // that are made room for at a time

class GzipEncoder final : public ContentEncoder {
public:
    static std::unique_ptr<ContentEncoder> make() {
        auto made = std::make_unique<GzipEncoder>();
        constexpr int kLevel = 5;
        constexpr int kGzipWindow = 15 + 16;
        const int result =
            deflateInit2(&made->stream_, kLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY);
        if (result != Z_OK) return nullptr;
        made->is_open_ = true;
        return made;
    }
    ~GzipEncoder() override {
        if (is_open_) deflateEnd(&stream_);
    }
    void push(std::string_view bytes, std::string& out) override { run(bytes, Z_NO_FLUSH, out); }
    void flush(std::string& out) override { run({}, Z_SYNC_FLUSH, out); }
    void finish(std::string& out) override { run({}, Z_FINISH, out); }

private:
    void run(std::string_view bytes, int mode, std::string& out) {
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
        stream_.avail_in = static_cast<uInt>(bytes.size());
        std::array<Bytef, kPieceBytes> piece;
        do {
            stream_.next_out = piece.data();
            stream_.avail_out = kPieceBytes;
            const int result = deflate(&stream_, mode);
            CANDELA_CHECK(result != Z_STREAM_ERROR);
            out.append(reinterpret_cast<char*>(piece.data()), kPieceBytes - stream_.avail_out);
        } while (stream_.avail_out == 0);
    }

    z_stream stream_{};
    bool is_open_ = false;
};

class BrotliEncoder final : public ContentEncoder {
public:
    static std::unique_ptr<ContentEncoder> make() {
        BrotliEncoderState* state = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
        if (state == nullptr) return nullptr;
        BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, 4);
        BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, 18);
        return std::make_unique<BrotliEncoder>(state);
    }
    explicit BrotliEncoder(BrotliEncoderState* state) : state_(state) {}
    ~BrotliEncoder() override { BrotliEncoderDestroyInstance(state_); }
    BrotliEncoder(const BrotliEncoder&) = delete;
    BrotliEncoder& operator=(const BrotliEncoder&) = delete;

    void push(std::string_view bytes, std::string& out) override {
        run(bytes, BROTLI_OPERATION_PROCESS, out);
    }
    void flush(std::string& out) override { run({}, BROTLI_OPERATION_FLUSH, out); }
    void finish(std::string& out) override { run({}, BROTLI_OPERATION_FINISH, out); }

private:
    void run(std::string_view bytes, BrotliEncoderOperation operation, std::string& out) {
        const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
        size_t in_left = bytes.size();
        do {
            size_t room = 0;
            const auto is_fine = BrotliEncoderCompressStream(state_, operation, &in_left, &in,
                                                             &room, nullptr, nullptr);
            CANDELA_CHECK(is_fine == BROTLI_TRUE);
            size_t ready = 0;  // take all that there is
            const uint8_t* bytes_ready = BrotliEncoderTakeOutput(state_, &ready);
            out.append(reinterpret_cast<const char*>(bytes_ready), ready);
        } while (in_left > 0 || BrotliEncoderHasMoreOutput(state_) == BROTLI_TRUE);
    }

    BrotliEncoderState* state_;
};

class ZstdEncoder final : public ContentEncoder {
public:
    static std::unique_ptr<ContentEncoder> make() {
        ZSTD_CCtx* context = ZSTD_createCCtx();
        if (context == nullptr) return nullptr;
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 3);
        // Memory a client must have, too: RFC 8878 §3.1.1.1.2 asks for 8 MiB at most.
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 18);
        return std::make_unique<ZstdEncoder>(context);
    }
    explicit ZstdEncoder(ZSTD_CCtx* context) : context_(context) {}
    ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }
    ZstdEncoder(const ZstdEncoder&) = delete;
    ZstdEncoder& operator=(const ZstdEncoder&) = delete;

    void push(std::string_view bytes, std::string& out) override {
        run(bytes, ZSTD_e_continue, out);
    }
    void flush(std::string& out) override { run({}, ZSTD_e_flush, out); }
    void finish(std::string& out) override { run({}, ZSTD_e_end, out); }

private:
    void run(std::string_view bytes, ZSTD_EndDirective mode, std::string& out) {
        ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
        std::array<char, kPieceBytes> piece;
        for (;;) {
            ZSTD_outBuffer to{piece.data(), piece.size(), 0};
            const size_t left = ZSTD_compressStream2(context_, &to, &in, mode);
            CANDELA_CHECK(ZSTD_isError(left) == 0);
            out.append(piece.data(), to.pos);
            const bool is_done = mode == ZSTD_e_continue ? in.pos == in.size : left == 0;
            if (is_done) return;
        }
    }

    ZSTD_CCtx* context_;
};

}  // namespace

std::unique_ptr<ContentEncoder> make_encoder(ContentCoding coding) {
    switch (coding) {
        case ContentCoding::kGzip: return GzipEncoder::make();
        case ContentCoding::kBrotli: return BrotliEncoder::make();
        case ContentCoding::kZstd: return ZstdEncoder::make();
        case ContentCoding::kIdentity: return nullptr;
    }
    return nullptr;
}

}  // namespace candela::http
