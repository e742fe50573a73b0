#include <catch2/catch_test_macros.hpp>

#include "auth/join_token.h"

using namespace candela;
using namespace candela::auth;

namespace {

JoinToken token() {
    JoinToken made;
    made.url = "https://10.0.0.1:7400";
    made.authority_fingerprint = std::string(64, 'a');
    made.roles = {"gateway", "host"};
    made.secret = make_join_secret();
    return made;
}

}  // namespace

TEST_CASE("join_tokens_are_read_as_they_were_written") {
    const JoinToken made = token();
    const Secret text = format_join_token(made);
    CHECK(text.reveal().starts_with("cj1."));
    const auto read = parse_join_token(" " + std::string(text.reveal()) + "\n");
    REQUIRE(read);
    CHECK(read->url == made.url);
    CHECK(read->authority_fingerprint == made.authority_fingerprint);
    CHECK(read->roles == made.roles);
    CHECK(read->secret.reveal() == made.secret.reveal());
    CHECK(join_secret_digest(read->secret) == join_secret_digest(made.secret));
    CHECK(make_join_secret().reveal() != made.secret.reveal());
}

TEST_CASE("join_tokens_that_are_not_whole_are_refused_and_not_quoted") {
    const Secret text = format_join_token(token());
    const std::string whole(text.reveal());
    for (size_t size = 0; size < whole.size(); ++size) {
        const auto read = parse_join_token(std::string_view(whole).substr(0, size));
        REQUIRE_FALSE(read);
        CHECK(read.error().code() == Code::kInvalid);
        CHECK(read.error().message().find("eyJ") == std::string::npos);
    }
    JoinToken incomplete = token();
    incomplete.roles.clear();
    CHECK_FALSE(parse_join_token(format_join_token(incomplete).reveal()));
    incomplete = token();
    incomplete.secret = Secret();
    CHECK_FALSE(parse_join_token(format_join_token(incomplete).reveal()));
    CHECK_FALSE(parse_join_token("cj1." + std::string(5000, 'a')));
    CHECK_FALSE(parse_join_token("cj1.e30"));  // {}
}
