#include "certificate_source.h"

#include <catch2/catch_test_macros.hpp>

namespace candela::gateway {

TEST_CASE("certificates_on_disk_are_read_back_however_many_there_are") {
    std::vector<proto::Certificate> some;
    CHECK(decode_pages(encode_pages(some)).value().empty());
    // More than one message of the bus may have.
    for (int i = 0; i < 30; ++i) {
        some.push_back(proto::Certificate(fmt::format("c{}", i), std::string(100 * 1024, 'c'),
                                          std::string("\0key", 4)));
    }
    CHECK(decode_pages(encode_pages(some)).value() == some);
}

TEST_CASE("certificates_on_disk_that_are_cut_off_are_refused") {
    const std::string bytes = encode_pages({proto::Certificate("a", "chain", "key")});
    for (size_t size = 1; size < bytes.size(); ++size) {
        INFO(size);
        CHECK_FALSE(decode_pages(std::string_view(bytes).substr(0, size)));
    }
    CHECK_FALSE(decode_pages(bytes + "x"));
    CHECK_FALSE(decode_pages(std::string(64, '\xff')));
    CHECK(decode_pages("").value().empty());
}

}  // namespace candela::gateway
