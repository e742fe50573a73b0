#pragma once

// The keeper's side of a connection to the host. Frames that can't be sent at once wait in one
// buffer of fixed size: who wants to send looks whether it is empty.

#include <cstddef>
#include <cstdint>

#include "keeper/wire.h"

namespace candela::keeper {

class Link {
public:
    bool is_open() const { return fd_ >= 0; }
    int fd() const { return fd_; }
    void open(int fd);
    void close();

    // Whether a frame is waiting for the host to read.
    bool is_sending() const { return sent_ < filled_; }
    // Only while nothing is waiting; `size` at most kFrameMax.
    void send(Message message, const void* first, size_t first_size, const void* second = nullptr,
              size_t second_size = 0);
    // Sends what waits. Closes the link where the host is gone.
    void flush();

    // Reads what there is and calls back with each whole frame. Closes the link at its end, and
    // where a frame is too long to be one.
    template <class OnFrame>
    void receive(OnFrame on_frame) {
        if (!fill()) return;
        size_t at = 0;
        FrameHead head;
        while (is_open() && next_frame(at, head)) {
            on_frame(static_cast<Message>(head.message), in_ + at + sizeof(head), head.size);
            at += sizeof(head) + head.size;
        }
        drop(at);
    }

    static constexpr size_t kFrameMax = kOutputFrameMax + 64;

private:
    bool fill();
    bool next_frame(size_t at, FrameHead& head);
    void drop(size_t size);

    int fd_ = -1;
    size_t filled_ = 0;  // of out_
    size_t sent_ = 0;
    size_t received_ = 0;  // of in_
    char out_[sizeof(FrameHead) + kFrameMax];
    char in_[sizeof(FrameHead) + kNoteSizeMax];
};

// Reads exactly so much, waiting up to the deadline for it.
bool receive_whole(int fd, void* bytes, size_t size, int timeout_ms);

}  // namespace candela::keeper
