#include "jwks_keeper.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::gateway;

TEST_CASE("key sets are used for as long as their answer says, within bounds") {
    CHECK(jwks_refresh_of("") == JwksKeeper::kRefreshDefault);
    CHECK(jwks_refresh_of("public, max-age=900, must-revalidate") == 15min);
    CHECK(jwks_refresh_of("Max-Age=7200") == 2h);
    CHECK(jwks_refresh_of("max-age=0") == JwksKeeper::kRefreshMin);
    CHECK(jwks_refresh_of("no-store") == JwksKeeper::kRefreshMin);
    CHECK(jwks_refresh_of("max-age=99999999999999") == JwksKeeper::kRefreshMax);
    CHECK(jwks_refresh_of("max-age=soon") == JwksKeeper::kRefreshDefault);
}
