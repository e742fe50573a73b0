// Reading messages allocates nothing once a reader is warm: counted by this executable's own
// operator new.

#include <catch2/catch_test_macros.hpp>

#include "bus/protocol.h"
#include "count_allocations.h"

using candela::test::allocations;
using namespace candela::bus;

namespace {

struct Count {
    bool on_line(const Line&, std::string_view, std::string_view payload) {
        ++messages;
        bytes += payload.size();
        return true;
    }
    size_t messages = 0;
    size_t bytes = 0;
};

size_t allocations_for(std::string_view text, size_t piece) {
    ServerReader reader;
    Count count;
    size_t before = 0;
    for (int round = 0; round < 100; ++round) {
        if (round == 10) before = allocations;
        for (size_t at = 0; at < text.size(); at += piece) {
            if (reader.feed(text.substr(at, piece), count)) return SIZE_MAX;
        }
    }
    return count.messages == 300 ? allocations - before : SIZE_MAX;
}

}  // namespace

TEST_CASE("reading_allocates_nothing_once_warm") {
    const std::string text = "PUB a.subject.of.some.length 40\r\n" + std::string(40, 'x') +
                             "\r\nHPUB b reply 12 3012\r\nNATS/1.0\r\n\r\n" +
                             std::string(3000, 'y') + "\r\nPING\r\n";
    CHECK(allocations_for(text, text.size()) == 0);
    CHECK(allocations_for(text, 100) == 0);
    CHECK(allocations_for(text, 1) == 0);
}
