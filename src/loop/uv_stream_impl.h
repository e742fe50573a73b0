#pragma once

// The uv side of a stream, shared by uv_stream.cc, uv_listen.cc and uv_connect.cc only.

#include <uv.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "loop/uv_stream.h"

namespace candela {

class UvStream;

// A libuv stream handle on the heap, freed once libuv has let go of it and no deferred call needs
// it.
struct UvStreamBlock {
    union {
        uv_handle_t any;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle{};
    UvStream* owner = nullptr;
    unsigned pins = 1;  // one is libuv's own, until the close callback
    bool is_tcp = false;

    static UvStreamBlock* make(uv_loop_t* loop, bool tcp);
    void close();
    void unpin() {
        if (--pins == 0) delete this;
    }
};

// Keeps a block while a deferred call needs it.
class UvStreamPin {
public:
    explicit UvStreamPin(UvStreamBlock* block) : block_(block) { ++block_->pins; }
    UvStreamPin(UvStreamPin&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    UvStreamPin& operator=(UvStreamPin&&) = delete;
    ~UvStreamPin() {
        if (block_ != nullptr) block_->unpin();
    }
    UvStream* owner() const { return block_->owner; }

private:
    UvStreamBlock* block_;
};

class UvStream final : public Stream {
public:
    // Takes over an open, connected handle.
    UvStream(UvLoop& loop, UvStreamBlock* block);
    ~UvStream() override;

    void start(StreamHandler& handler) override;
    void pause() override;
    void resume() override;
    void write(std::span<const std::string_view> parts) override;
    using Stream::write;
    size_t queued_bytes() const override { return queued_bytes_; }
    void end() override;
    Loop& loop() override { return loop_; }
    Address peer() const override;
    Address local() const override;
    std::optional<uint32_t> peer_uid() const override;
    bool is_tcp() const { return block_->is_tcp; }
    // -1 where that fails. Only while the stream is not started.
    int duplicate_fd() const;

private:
    struct PendingWrite;

    void start_reading();
    void receive();
    void on_read(ssize_t count, const char* bytes);
    ssize_t send_now(std::span<uv_buf_t> parts, size_t total);
    void queue(std::span<const std::string_view> parts, size_t skip);
    void submit();
    void on_written(int status);
    void fail_soon(int uv_status);
    // What the kernel has taken from the peer and nobody has read.
    void hand_on_received(const UvStreamPin& pin);
    void shut_down();

    UvLoop& loop_;
    UvStreamBlock* block_;
    StreamHandler* handler_ = nullptr;
    mutable std::optional<Address> peer_;  // once it was asked for
    PendingWrite* in_flight_ = nullptr;    // libuv holds it until its callback
    std::string pending_;                  // what came after it
    size_t queued_bytes_ = 0;
    bool reading_ = false;
    bool ended_ = false;   // the peer's direction
    bool ending_ = false;  // ours: end() was called
    bool shut_down_ = false;
    bool broken_ = false;
};

Error uv_failure(std::string_view what, int uv_status);
Address address_of(const struct sockaddr* address);

}  // namespace candela
