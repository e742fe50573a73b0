#include "auth/claims.h"

#include <catch2/catch_test_macros.hpp>

#include "auth/creds_file.h"
#include "vectors.h"

using namespace candela;
using namespace candela::auth;

static const WallTime kNow = from_unix_millis(1'700'000'000'000);

TEST_CASE("jwts_of_another_implementation_are_read") {
    const Result<OperatorClaims> op = decode_operator(vectors::kOperatorJwt);
    REQUIRE(op);
    CHECK(op->name == "O");
    CHECK(op->system_account == vectors::kAccount.public_key);
    CHECK(op->may_sign_accounts(vectors::kOperator.public_key));

    const Result<AccountClaims> account = decode_account(vectors::kAccountJwt);
    REQUIRE(account);
    CHECK(account->limits.connections == 7);
    CHECK(account->limits.subscriptions == kNoLimit);
    CHECK(account->limits.wildcard_exports);
    CHECK(account->find_signing_key(vectors::kSigner.public_key) != nullptr);
    CHECK(account->is_revoked(vectors::kUser.public_key, 1600000000));
    CHECK_FALSE(account->is_revoked(vectors::kUser.public_key, 1600000001));

    const Result<UserClaims> user = decode_user(vectors::kUserJwt);
    REQUIRE(user);
    CHECK(user->account() == vectors::kAccount.public_key);
    CHECK(user->permissions.publish.allow == std::vector<std::string>{"foo.*", "_INBOX.>"});
    CHECK(user->permissions.publish.deny == std::vector<std::string>{"foo.secret"});
    CHECK(user->permissions.subscribe.allow == std::vector<std::string>{"bar.> q"});
    REQUIRE(user->permissions.response);
    CHECK(*user->permissions.response == ResponsePermission{5, 1s});
    CHECK(user->limits == UserLimits{10, kNoLimit, 1024});
    CHECK(user->bearer_token);
    CHECK(user->expires_at == 4102444800);
    CHECK(user->source_networks == std::vector<std::string>{"10.0.0.0/8"});
    CHECK(user->allowed_connection_types == std::vector<std::string>{"STANDARD"});
    CHECK(user->tags == std::vector<std::string>{"role:developer"});
    CHECK_FALSE(user->scoped);

    CHECK(decode_user(vectors::kScopedUserJwt)->scoped);
}

TEST_CASE("a_user_survives_encoding") {
    const KeyPair signer = KeyPair::generate(KeyKind::kAccount);
    const KeyPair user = KeyPair::generate(KeyKind::kUser);
    UserClaims claims;
    claims.subject = user.public_key();
    claims.name = "api";
    claims.expires_at = 1'800'000'000;
    claims.tags = {"role:viewer", "space:default"};
    claims.permissions.publish.allow = {"a.>"};
    claims.permissions.subscribe.deny = {"b"};
    claims.permissions.response = ResponsePermission{};
    const Result<std::string> jwt = encode_user(claims, signer, kNow);
    REQUIRE(jwt);
    const Result<UserClaims> again = decode_user(*jwt);
    REQUIRE(again);
    CHECK(again->name == "api");
    CHECK(again->issuer == signer.public_key());
    CHECK(again->account() == signer.public_key());
    CHECK(again->issued_at == 1'700'000'000);
    CHECK(again->tags == claims.tags);
    CHECK(again->permissions == claims.permissions);
    CHECK(again->limits == UserLimits{});
    CHECK_FALSE(again->id.empty());
}

TEST_CASE("an_account_survives_encoding_with_a_scoped_key") {
    const KeyPair op = KeyPair::generate(KeyKind::kOperator);
    const KeyPair key = KeyPair::generate(KeyKind::kAccount);
    const KeyPair scoped = KeyPair::generate(KeyKind::kAccount);
    AccountClaims claims;
    claims.subject = key.public_key();
    claims.name = "shop";
    AccountSigningKey::Scope scope;
    scope.role = "reader";
    scope.permissions.subscribe.allow = {"x.>"};
    claims.signing_keys.push_back(AccountSigningKey{scoped.public_key(), scope});
    claims.revocations["*"] = 5;
    const Result<AccountClaims> again = decode_account(*encode_account(claims, op, kNow));
    REQUIRE(again);
    const AccountSigningKey* found = again->find_signing_key(scoped.public_key());
    REQUIRE(found != nullptr);
    REQUIRE(found->scope);
    CHECK(found->scope->role == "reader");
    CHECK(found->scope->permissions.subscribe.allow == std::vector<std::string>{"x.>"});
    CHECK(again->is_revoked("anybody", 5));
    CHECK(again->limits.disk_storage == kNoLimit);
}

TEST_CASE("the_wrong_kind_of_signer_is_refused") {
    const KeyPair user = KeyPair::generate(KeyKind::kUser);
    const KeyPair op = KeyPair::generate(KeyKind::kOperator);
    UserClaims claims;
    claims.subject = user.public_key();
    CHECK_FALSE(encode_user(claims, op, kNow));
    CHECK_FALSE(encode_user(claims, user, kNow));
    AccountClaims account;
    account.subject = KeyPair::generate(KeyKind::kAccount).public_key();
    CHECK_FALSE(encode_account(account, KeyPair::generate(KeyKind::kAccount), kNow));
}

TEST_CASE("a_changed_jwt_is_refused") {
    const std::string good(vectors::kUserJwt);
    for (const size_t at : {good.find('.') + 40, good.size() - 10}) {
        std::string changed = good;
        changed[at] = changed[at] == 'A' ? 'B' : 'A';
        CHECK_FALSE(decode_user(changed));
    }
    CHECK_FALSE(decode_account(vectors::kUserJwt));
    CHECK_FALSE(decode_user(vectors::kAccountJwt));
    CHECK_FALSE(decode_user(""));
    CHECK_FALSE(decode_user(".."));
    CHECK_FALSE(decode_user(good + "."));
    CHECK_FALSE(decode_user(good.substr(0, good.rfind('.'))));
}

// Signs arbitrary claims, as a hostile or faulty holder of a key could.
static std::string sign_raw(const KeyPair& signer, std::string_view nats,
                            std::string_view more = "") {
    const KeyPair user = KeyPair::generate(KeyKind::kUser);
    const std::string body = fmt::format(R"({{"iat":1,"iss":"{}","sub":"{}"{},"nats":{}}})",
                                         signer.public_key(), user.public_key(), more, nats);
    const std::string part = base64url_encode(as_bytes(R"({"typ":"JWT","alg":"ed25519-nkey"})")) +
                             "." + base64url_encode(as_bytes(body));
    const crypto::Signature signature = signer.sign(part);
    return part + "." + base64url_encode(signature);
}

TEST_CASE("claims_of_the_wrong_type_never_become_defaults") {
    const KeyPair signer = KeyPair::generate(KeyKind::kAccount);
    CHECK(decode_user(sign_raw(signer, R"({"type":"user","version":2})")));
    CHECK_FALSE(decode_user(sign_raw(signer, R"({"type":"user","version":1})")));
    CHECK_FALSE(decode_user(sign_raw(signer, R"({"type":"user","version":2,"pub":["a"]})")));
    CHECK_FALSE(decode_user(sign_raw(signer, R"({"type":"user","version":2,"pub":{"deny":"a"}})")));
    CHECK_FALSE(decode_user(sign_raw(signer, R"({"type":"user","version":2,"sub":{"deny":[1]}})")));
    CHECK_FALSE(decode_user(sign_raw(signer, R"({"type":"user","version":2,"subs":1.5})")));
    CHECK_FALSE(decode_user(
        sign_raw(signer, R"({"type":"user","version":2,"subs":18446744073709551615})")));
    CHECK_FALSE(decode_user(sign_raw(signer, R"({"type":"user","version":2})", R"(,"exp":"1")")));
    CHECK_FALSE(decode_user(sign_raw(signer, R"([])")));
    CHECK_FALSE(decode_user(
        sign_raw(KeyPair::generate(KeyKind::kOperator), R"({"type":"user","version":2})")));
}

TEST_CASE("limits_that_are_missing_are_zero_as_nats_server_takes_them") {
    const KeyPair signer = KeyPair::generate(KeyKind::kAccount);
    const Result<UserClaims> user =
        decode_user(sign_raw(signer, R"({"type":"user","version":2,"payload":10})"));
    REQUIRE(user);
    CHECK(user->limits == UserLimits{0, 0, 10});
    CHECK_FALSE(user->scoped);
}

TEST_CASE("creds_files_are_written_and_read") {
    const KeyPair user = *KeyPair::from_seed(vectors::kUser.seed);
    const Secret text = format_creds(vectors::kUserJwt, user);
    const Result<Credentials> creds = parse_creds(text.reveal());
    REQUIRE(creds);
    CHECK(creds->jwt == vectors::kUserJwt);
    CHECK(creds->key.public_key() == vectors::kUser.public_key);
    std::string dos;
    for (const char c : text.reveal()) {
        if (c == '\n') dos += '\r';
        dos += c;
    }
    CHECK(parse_creds(dos));
}

TEST_CASE("broken_creds_files_are_refused") {
    CHECK_FALSE(parse_creds(""));
    CHECK_FALSE(parse_creds("-----BEGIN NATS USER JWT-----\n"));
    const KeyPair other = KeyPair::generate(KeyKind::kUser);
    const Secret mismatched = format_creds(vectors::kUserJwt, other);
    CHECK_FALSE(parse_creds(mismatched.reveal()));
    CHECK(load_creds("/nonexistent/x.creds").error().code() == Code::kNotFound);
}
