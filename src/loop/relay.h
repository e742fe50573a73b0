#pragma once

// Two streams joined: what one sends the other writes, a slow writer pauses its reader, and an end
// of one direction is passed on. For one loop's thread; both streams are of that loop.

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "loop/flow.h"
#include "loop/stream.h"

namespace candela {

class Relay final {
public:
    static constexpr size_t kQueueBytesMax = 256 * 1024;  // in each direction, beyond the kernel's

    // Begins at once. `first_bytes` were read from `a` already.
    Relay(Loop& loop, StreamPtr a, StreamPtr b, std::string first_bytes = std::string(),
          size_t queue_bytes_max = kQueueBytesMax);
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    // Returns when both directions are over and all is with the kernel, or with why one is broken.
    // The streams stay until this object goes.
    Task<Result<>> wait();

private:
    struct Side final : StreamHandler {
        Side(Relay& r, size_t i, StreamPtr s) : relay(r), index(i), stream(std::move(s)) {}
        Side& other() { return *relay.sides_[1 - index]; }

        void on_data(std::string_view bytes) override;
        void on_drained() override;
        void on_end() override;
        void on_error(const Error& error) override;

        Relay& relay;
        size_t index;
        StreamPtr stream;
        bool has_ended = false;  // it will send nothing more
    };
    void look();

    const size_t queue_bytes_max_;
    std::array<std::optional<Side>, 2> sides_;
    Timer later_;
    std::optional<Error> error_;
    Event over_;
};

}  // namespace candela
