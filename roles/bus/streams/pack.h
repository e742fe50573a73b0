#pragma once

// Messages compressed together, of streams that ask for compression: one record of a segment holds
// up to 64 KiB of them, or one message that is larger. Its checksum is that of all of them: a
// flipped bit loses the whole pack. Pool threads and start-up.

#include <string>
#include <vector>

#include "record.h"

namespace candela::bus_role {

class Packer {
public:
    void add(const Record& record);
    size_t bytes() const { return text_.size(); }
    RecordPtr finish(uint64_t stream);

private:
    std::string text_;
};

// The messages of a kPacked record; nothing where it makes no sense.
std::vector<RecordPtr> unpack(const RecordView& packed);

}  // namespace candela::bus_role
