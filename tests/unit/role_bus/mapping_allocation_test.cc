// Mapping subjects allocates nothing once it is warm: counted by this executable's own operator
// new.

#include <catch2/catch_test_macros.hpp>

#include "account_mappings.h"
#include "count_allocations.h"

using candela::test::allocations;
using namespace candela;
using namespace candela::bus_role;

TEST_CASE("mapping_allocates_nothing_once_warm") {
    auth::SubjectMappings claims;
    claims["a.literal.subject.that.fits.in.no.small.string"] = {{"b.longer.than.sixteen", 100, ""}};
    claims["ev.*.*"] = {{"out.{{partition(100,1,2)}}.$2.$1", 50, ""},
                        {"{{split(1,-)}}.{{slicefromleft(2,3)}}.{{left(1,2)}}.$2", 25, ""}};
    claims["rest.>"] = {{"a.prefix.for.the.rest.>", 100, ""}};
    const auto mappings =
        AccountMappings::create(claims, [](std::string_view, std::string_view) { FAIL(); });
    REQUIRE(mappings != nullptr);
    SeededRandom random(1);
    std::string out;
    size_t before = 0;
    size_t mapped = 0;
    for (int round = 0; round < 1000; ++round) {
        if (round == 100) before = allocations;
        for (const std::string_view subject :
             {"a.literal.subject.that.fits.in.no.small.string", "ev.some-thing-else.abcdefghijk",
              "rest.of.all.that.is.published.under.it", "what.has.no.mapping.goes.on.as.it.is"}) {
            const auto outcome = mappings->apply(subject, random, out);
            mapped += outcome == AccountMappings::Outcome::kMapped ? 1 : 0;
        }
    }
    CHECK(allocations - before == 0);
    CHECK((mapped > 2500 && mapped < 3000));
}
