#pragma once

// A stream of bytes sealed with a passphrase: Argon2id (RFC 9106) makes the key, and libsodium's
// secretstream (XChaCha20-Poly1305) seals chunk by chunk, so that a chunk that was changed, moved
// or left out is found, and an end that is not the end. Values; one thread at a time. Making the
// key takes about 0.2 s and 64 MiB: not on a loop.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace candela::crypto {

// A stream begins with "candela sealed 1\n", the salt and the costs; each chunk has at most
// kChunkBytes of plain text.
class StreamSealer {
public:
    static constexpr size_t kChunkBytes = 64 * 1024;

    // kInvalid for an empty passphrase.
    static Result<StreamSealer> begin(const Secret& passphrase);
    StreamSealer(StreamSealer&&) noexcept;
    StreamSealer& operator=(StreamSealer&&) noexcept;
    ~StreamSealer();

    // Appends what there is to be written so far.
    void write(std::string_view plain, std::string& sealed);
    // Once, at the end.
    void finish(std::string& sealed);

private:
    struct State;
    explicit StreamSealer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

class StreamOpener {
public:
    explicit StreamOpener(Secret passphrase);
    StreamOpener(StreamOpener&&) noexcept;
    StreamOpener& operator=(StreamOpener&&) noexcept;
    ~StreamOpener();

    // Appends the plain text of the chunks that are whole. kInvalid where this is no such stream or
    // asks for more than 1 GiB, kDenied where the passphrase does not fit its first chunk, kCorrupt
    // where a later one has been changed.
    Result<> write(std::string_view sealed, std::string& plain);
    // kCorrupt where the stream has been cut off.
    Result<> finish(std::string& plain);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace candela::crypto
