#pragma once

// Output that the host has not acknowledged, in a file without a name: first in, first out, of
// bounded size. Positions count bytes from the beginning of the instance's life and never go back.

#include <cstddef>
#include <cstdint>

namespace candela::keeper {

class Spool {
public:
    static constexpr size_t kRecordMax = 32 << 10;

    // Takes over the file.
    void open(int fd) { fd_ = fd; }

    // Whether a record of the largest size fits.
    bool has_room() const;
    // Adds a record. Where there is no room the oldest ones go; false where the disk takes nothing:
    // then this one is lost.
    bool add(uint8_t stream, const char* bytes, size_t size);

    // The next record that was not taken yet, copied to `out` (kRecordMax bytes). False: none.
    bool take(uint8_t& stream, char* out, size_t& size);
    bool has_untaken() const { return taken_ < end_; }
    // The position behind the last record taken.
    uint64_t taken() const { return taken_; }

    // Forgets everything up to the position.
    void acknowledge(uint64_t position);
    // The next take() begins again with what is not acknowledged.
    void rewind() { taken_ = begin_; }

    // Bytes that were lost since the last call.
    uint64_t collect_dropped();

private:
    struct Head {
        uint32_t size;
        uint32_t stream;
    };

    bool write_at(uint64_t position, const void* bytes, size_t size);
    bool read_at(uint64_t position, void* bytes, size_t size);
    void drop_oldest();
    void rest();

    int fd_ = -1;
    uint64_t base_ = 0;  // the position that the file's beginning stands for
    uint64_t begin_ = 0;
    uint64_t taken_ = 0;
    uint64_t end_ = 0;
    uint64_t dropped_ = 0;
    uint64_t reached_ = 0;  // the file's size
};

}  // namespace candela::keeper
