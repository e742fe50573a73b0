#include "crypto/sealed_stream.h"

#include <sodium.h>

#include <array>
#include <cstring>

#include "base/encoding.h"
#include "crypto/entropy.h"
#include "crypto/sodium_init.h"

namespace candela::crypto {

namespace {

constexpr std::string_view kMagic = "candela sealed 1\n";
constexpr size_t kSaltBytes = crypto_pwhash_SALTBYTES;
constexpr size_t kKeyBytes = crypto_secretstream_xchacha20poly1305_KEYBYTES;
constexpr size_t kHeaderBytes = crypto_secretstream_xchacha20poly1305_HEADERBYTES;
constexpr size_t kChunkOverhead = crypto_secretstream_xchacha20poly1305_ABYTES;
constexpr size_t kSealedChunkBytes = StreamSealer::kChunkBytes + kChunkOverhead;
constexpr size_t kCostBytes = 8;  // passes and KiB, 32 bits each, the lowest byte first
constexpr size_t kHeadBytes = kMagic.size() + kSaltBytes + kCostBytes + kHeaderBytes;

constexpr uint32_t kPasses = 3;
constexpr uint32_t kMemoryKib = 64 * 1024;
constexpr uint32_t kPassesMax = 20;
constexpr uint32_t kMemoryKibMax = 1024 * 1024;

void put_u32(std::string& out, uint32_t number) {
    for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((number >> shift) & 0xffU);
}
uint32_t get_u32(std::string_view bytes) {
    uint32_t number = 0;
    for (size_t i = 4; i-- > 0;) number = (number << 8) | static_cast<unsigned char>(bytes[i]);
    return number;
}

const uint8_t* bytes_of(std::string_view text) {
    return reinterpret_cast<const uint8_t*>(text.data());
}
uint8_t* bytes_of(std::string& text, size_t offset) {
    return reinterpret_cast<uint8_t*>(text.data()) + offset;
}

using Key = std::array<uint8_t, kKeyBytes>;

Result<> make_key(Key& key, const Secret& passphrase, std::string_view salt, uint32_t passes,
                  uint32_t memory_kib) {
    ensure_sodium();
    if (passphrase.empty()) return fail(Code::kInvalid, "the passphrase is empty");
    const std::string_view text = passphrase.reveal();
    if (crypto_pwhash(key.data(), key.size(), text.data(), text.size(), bytes_of(salt), passes,
                      size_t{memory_kib} * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0) {
        return fail(Code::kExhausted, "the passphrase's key needs {} MiB of memory",
                    memory_kib / 1024);
    }
    return {};
}

}  // namespace

// ---- sealing

struct StreamSealer::State {
    ~State() { sodium_memzero(&stream, sizeof(stream)); }
    crypto_secretstream_xchacha20poly1305_state stream{};
    std::string waiting;  // plain text of the next chunk
    std::string head;     // until it has been written

    void seal(std::string& sealed, unsigned char tag) {
        const size_t at = sealed.size();
        sealed.resize(at + waiting.size() + kChunkOverhead);
        crypto_secretstream_xchacha20poly1305_push(&stream, bytes_of(sealed, at), nullptr,
                                                   bytes_of(waiting), waiting.size(), nullptr, 0,
                                                   tag);
        waiting.clear();
    }
};

StreamSealer::StreamSealer(std::unique_ptr<State> state) : state_(std::move(state)) {}
StreamSealer::StreamSealer(StreamSealer&&) noexcept = default;
StreamSealer& StreamSealer::operator=(StreamSealer&&) noexcept = default;
StreamSealer::~StreamSealer() = default;

Result<StreamSealer> StreamSealer::begin(const Secret& passphrase) {
    std::array<uint8_t, kSaltBytes> salt{};
    random_bytes(salt);
    Key key{};
    CANDELA_TRY(make_key(key, passphrase, as_text(salt), kPasses, kMemoryKib));
    auto state = std::make_unique<State>();
    std::array<uint8_t, kHeaderBytes> header{};
    crypto_secretstream_xchacha20poly1305_init_push(&state->stream, header.data(), key.data());
    sodium_memzero(key.data(), key.size());
    state->head = kMagic;
    state->head += as_text(salt);
    put_u32(state->head, kPasses);
    put_u32(state->head, kMemoryKib);
    state->head += as_text(header);
    return StreamSealer(std::move(state));
}

void StreamSealer::write(std::string_view plain, std::string& sealed) {
    sealed += std::exchange(state_->head, std::string());
    while (!plain.empty()) {
        // A full chunk waits until it is known not to be the last.
        if (state_->waiting.size() == kChunkBytes) state_->seal(sealed, 0);
        const size_t count = std::min(plain.size(), kChunkBytes - state_->waiting.size());
        state_->waiting += plain.substr(0, count);
        plain.remove_prefix(count);
    }
}

void StreamSealer::finish(std::string& sealed) {
    write("", sealed);
    state_->seal(sealed, crypto_secretstream_xchacha20poly1305_TAG_FINAL);
}

// ---- opening

struct StreamOpener::State {
    ~State() { sodium_memzero(&stream, sizeof(stream)); }
    Secret passphrase;
    crypto_secretstream_xchacha20poly1305_state stream{};
    std::string waiting;  // sealed bytes of what is not yet whole
    bool has_begun = false;
    bool has_opened = false;  // a chunk: the passphrase is right
    bool is_final = false;

    Result<> begin() {
        const std::string_view head(waiting);
        const std::string_view salt = head.substr(kMagic.size(), kSaltBytes);
        const std::string_view costs = head.substr(kMagic.size() + kSaltBytes, kCostBytes);
        const uint32_t passes = get_u32(costs);
        const uint32_t memory_kib = get_u32(costs.substr(4));
        if (passes == 0 || passes > kPassesMax || memory_kib < 8 || memory_kib > kMemoryKibMax)
            return fail(Code::kInvalid, "its passphrase would cost more than we spend on one");
        Key key{};
        CANDELA_TRY(make_key(key, passphrase, salt, passes, memory_kib));
        const std::string_view header = head.substr(kHeadBytes - kHeaderBytes, kHeaderBytes);
        const int status =
            crypto_secretstream_xchacha20poly1305_init_pull(&stream, bytes_of(header), key.data());
        sodium_memzero(key.data(), key.size());
        if (status != 0) return fail(Code::kInvalid, "this is no sealed stream");
        waiting.erase(0, kHeadBytes);
        has_begun = true;
        return {};
    }

    Result<> open(std::string_view chunk, std::string& plain) {
        const size_t at = plain.size();
        plain.resize(at + chunk.size() - kChunkOverhead);
        unsigned char tag = 0;
        if (crypto_secretstream_xchacha20poly1305_pull(&stream, bytes_of(plain, at), nullptr, &tag,
                                                       bytes_of(chunk), chunk.size(), nullptr,
                                                       0) != 0) {
            plain.resize(at);
            if (!has_opened) return fail(Code::kDenied, "the passphrase is not the right one");
            return fail(Code::kCorrupt, "it has been changed, or is damaged");
        }
        has_opened = true;
        is_final = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
        return {};
    }
};

StreamOpener::StreamOpener(Secret passphrase) : state_(std::make_unique<State>()) {
    state_->passphrase = std::move(passphrase);
}
StreamOpener::StreamOpener(StreamOpener&&) noexcept = default;
StreamOpener& StreamOpener::operator=(StreamOpener&&) noexcept = default;
StreamOpener::~StreamOpener() = default;

Result<> StreamOpener::write(std::string_view sealed, std::string& plain) {
    State& state = *state_;
    state.waiting += sealed;
    const size_t known = std::min(state.waiting.size(), kMagic.size());
    if (!state.has_begun &&
        std::string_view(state.waiting).substr(0, known) != kMagic.substr(0, known))
        return fail(Code::kInvalid, "this is no sealed stream");
    if (!state.has_begun) {
        if (state.waiting.size() < kHeadBytes) return {};
        CANDELA_TRY(state.begin());
    }
    // The last chunk may be a full one, too: it is left to finish().
    size_t done = 0;
    while (state.waiting.size() - done > kSealedChunkBytes) {
        if (state.is_final) return fail(Code::kCorrupt, "there is something behind its end");
        const auto chunk = std::string_view(state.waiting).substr(done, kSealedChunkBytes);
        CANDELA_TRY(state.open(chunk, plain));
        done += kSealedChunkBytes;
    }
    state.waiting.erase(0, done);
    return {};
}

Result<> StreamOpener::finish(std::string& plain) {
    State& state = *state_;
    if (!state.has_begun || state.waiting.size() < kChunkOverhead)
        return fail(Code::kCorrupt, "it is cut off");
    if (state.is_final) return fail(Code::kCorrupt, "there is something behind its end");
    CANDELA_TRY(state.open(state.waiting, plain));
    state.waiting.clear();
    if (!state.is_final) return fail(Code::kCorrupt, "it is cut off");
    return {};
}

}  // namespace candela::crypto
