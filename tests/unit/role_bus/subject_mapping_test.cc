#include "subject_mapping.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::bus_role;

namespace {

std::string map(std::string_view pattern, std::string_view destination, std::string_view subject) {
    const Result<SubjectMapping> mapping = SubjectMapping::create(pattern, destination);
    if (!mapping) return "refused";
    std::string out = "left over";
    mapping->apply(subject, out);
    // What goes there comes back.
    std::string back;
    mapping->reversed().apply(out, back);
    CHECK(back == subject);
    return out;
}

}  // namespace

TEST_CASE("wildcards_keep_their_values_in_other_places") {
    CHECK(map("a", "b.c", "a") == "b.c");
    CHECK(map("a.*", "b.$1", "a.x") == "b.x");
    CHECK(map("a.*.*", "$2.b.$1", "a.x.y") == "y.b.x");
    CHECK(map("a.*.*", "b.*.*", "a.x.y") == "b.x.y");
    CHECK(map("*.a.*.*", "{{wildcard(3)}}.{{Wildcard(1)}}.$2", "1.a.2.3") == "3.1.2");
    CHECK(map("a.>", "b.c.>", "a.x.y") == "b.c.x.y");
    CHECK(map("a.*.>", "$1.>", "a.x.y.z") == "x.y.z");
    CHECK(map(">", "in.>", "x.y") == "in.x.y");
    CHECK(map("a.>", "a.>", "a.b.c") == "a.b.c");
    CHECK(map("a.*.*", "a.$2.$1", "a.x.y") == "a.y.x");
}

TEST_CASE("a_mapping_loses_and_doubles_nothing") {
    CHECK(map("a.*", "b", "a.x") == "refused");
    CHECK(map("a.*", "b.$1.$1", "a.x") == "refused");
    CHECK(map("a.*", "b.$2", "a.x") == "refused");
    CHECK(map("a.*", "b.$0", "a.x") == "refused");
    CHECK(map("a", "b.*", "a") == "refused");
    CHECK(map("a.>", "b", "a.x") == "refused");
    CHECK(map("a", "b.>", "a") == "refused");
    CHECK(map("a..b", "b", "a..b") == "refused");
    CHECK(map("a", "", "a") == "refused");
    CHECK(map("a", "b..c", "a") == "refused");
    CHECK(map("a.*", "b.$99999999999999999999", "a.x") == "refused");
}

TEST_CASE("patterns_of_both_sides_are_known") {
    const SubjectMapping mapping = *SubjectMapping::create("a.*.*.>", "b.$2.$1.>");
    CHECK(mapping.pattern() == "a.*.*.>");
    CHECK(mapping.destination() == "b.*.*.>");
    CHECK(mapping.reversed().pattern() == "b.*.*.>");
    CHECK(mapping.reversed().destination() == "a.*.*.>");
}
