#include "auth/session.h"

#include <catch2/catch_test_macros.hpp>

#include "auth/identity.h"

using namespace candela;
using namespace candela::auth;

namespace {

struct Cloud {
    WallTime now = from_unix_millis(1'700'000'000'000);
    MonoTime mono{};
    KeyPair operator_key = KeyPair::generate(KeyKind::kOperator);
    Account platform = *make_account(operator_key, kPlatformAccount, now);
    Account shop = *make_account(operator_key, "shop", now);
    KeyPair user = KeyPair::generate(KeyKind::kUser);
    Sessions sessions{[this](std::string_view key) -> const AccountClaims* {
        if (key == platform.public_key()) return &platform.claims;
        if (key == shop.public_key()) return &shop.claims;
        return nullptr;
    }};

    std::string mint(const Account& account, std::vector<std::string> tags, int64_t expires = 0) {
        UserRequest request;
        request.public_key = user.public_key();
        request.name = "ann";
        request.tags = std::move(tags);
        request.expires_at = expires;
        return *mint_user(account, request, now);
    }
    Result<Sessions::Token> login(std::string_view jwt, const std::string& nonce) {
        const crypto::Signature signature = user.sign(nonce);
        return sessions.login(jwt, nonce, base64url_encode(signature), mono, now);
    }
    Result<Principal> enter(std::string_view jwt) {
        const Result<Sessions::Token> token = login(jwt, sessions.challenge(mono));
        if (!token) return fail(token.error());
        return sessions.verify(token->text, now);
    }
};

}  // namespace

TEST_CASE("a_signed_challenge_becomes_a_session") {
    Cloud cloud;
    const Result<Principal> who = cloud.enter(cloud.mint(cloud.shop, {"role:developer"}));
    REQUIRE(who);
    CHECK(who->name == "ann");
    CHECK(who->account_name == "shop");
    CHECK(who->may(AccessRole::kDeveloper, "shop"));
    CHECK_FALSE(who->may(AccessRole::kDeveloper, "other"));
    CHECK_FALSE(who->is_operator());
}

TEST_CASE("only_the_platform_account_makes_operators_and_names_spaces") {
    Cloud cloud;
    CHECK(cloud.enter(cloud.mint(cloud.platform, {"role:operator"}))->is_operator());
    const auto sly = cloud.enter(cloud.mint(cloud.shop, {"role:operator", "space:other"}));
    REQUIRE(sly);
    CHECK_FALSE(sly->is_operator());
    CHECK_FALSE(sly->may(AccessRole::kViewer, "other"));
    const auto viewer = cloud.enter(cloud.mint(cloud.platform, {"role:viewer", "space:shop"}));
    CHECK(viewer->may(AccessRole::kViewer, "shop"));
    CHECK_FALSE(viewer->may(AccessRole::kDeveloper, "shop"));
}

TEST_CASE("a_challenge_serves_once_and_not_for_long") {
    Cloud cloud;
    const std::string jwt = cloud.mint(cloud.shop, {});
    const std::string nonce = cloud.sessions.challenge(cloud.mono);
    CHECK(cloud.login(jwt, nonce));
    CHECK(cloud.login(jwt, nonce).error().code() == Code::kDenied);
    const std::string stale = cloud.sessions.challenge(cloud.mono);
    cloud.mono += Sessions::kNonceLifetime;
    CHECK_FALSE(cloud.login(jwt, stale));
    CHECK_FALSE(cloud.login(jwt, "made-up"));
}

TEST_CASE("open_challenges_are_bounded") {
    Cloud cloud;
    const std::string first = cloud.sessions.challenge(cloud.mono);
    for (size_t i = 0; i < Sessions::kNoncesMax; ++i) cloud.sessions.challenge(cloud.mono);
    CHECK_FALSE(cloud.login(cloud.mint(cloud.shop, {}), first));
}

TEST_CASE("expired_revoked_and_foreign_credentials_are_refused") {
    Cloud cloud;
    CHECK_FALSE(cloud.enter(cloud.mint(cloud.shop, {}, unix_seconds(cloud.now))));
    const Account stranger = *make_account(KeyPair::generate(KeyKind::kOperator), "x", cloud.now);
    CHECK_FALSE(cloud.enter(cloud.mint(stranger, {})));
    UserClaims forged;
    forged.subject = cloud.user.public_key();
    forged.issuer_account = cloud.platform.public_key();
    CHECK_FALSE(cloud.enter(*encode_user(forged, cloud.shop.signing_key, cloud.now)));
    const std::string good = cloud.mint(cloud.shop, {});
    CHECK(cloud.enter(good));
    REQUIRE(revoke_user(cloud.shop, cloud.user.public_key(), cloud.operator_key, cloud.now));
    CHECK_FALSE(cloud.enter(good));
}

TEST_CASE("a_signature_by_another_key_is_refused") {
    Cloud cloud;
    const std::string jwt = cloud.mint(cloud.shop, {});
    const std::string nonce = cloud.sessions.challenge(cloud.mono);
    const crypto::Signature other = KeyPair::generate(KeyKind::kUser).sign(nonce);
    CHECK_FALSE(cloud.sessions.login(jwt, nonce, base64url_encode(other), cloud.mono, cloud.now));
}

TEST_CASE("a_token_ends_with_its_time_its_credential_and_its_revocation") {
    Cloud cloud;
    const std::string jwt = cloud.mint(cloud.shop, {}, unix_seconds(cloud.now) + 60);
    const auto token = cloud.login(jwt, cloud.sessions.challenge(cloud.mono));
    REQUIRE(token);
    CHECK(token->expires_at == unix_seconds(cloud.now) + 60);
    CHECK(cloud.sessions.verify(token->text, cloud.now + 59s));
    CHECK_FALSE(cloud.sessions.verify(token->text, cloud.now + 60s));
    REQUIRE(revoke_user(cloud.shop, cloud.user.public_key(), cloud.operator_key, cloud.now));
    CHECK_FALSE(cloud.sessions.verify(token->text, cloud.now));
}

TEST_CASE("tokens_that_were_changed_or_are_of_another_node_are_refused") {
    Cloud cloud;
    const auto token =
        cloud.login(cloud.mint(cloud.shop, {}), cloud.sessions.challenge(cloud.mono));
    REQUIRE(token);
    std::string changed = token->text;
    changed[3] = changed[3] == 'A' ? 'B' : 'A';
    CHECK_FALSE(cloud.sessions.verify(changed, cloud.now));
    CHECK_FALSE(cloud.sessions.verify("", cloud.now));
    CHECK_FALSE(cloud.sessions.verify("a.b", cloud.now));
    CHECK_FALSE(Cloud().sessions.verify(token->text, cloud.now));
}
