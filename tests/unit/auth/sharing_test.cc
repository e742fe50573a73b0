#include "auth/sharing.h"

#include <catch2/catch_test_macros.hpp>

#include "auth/claims.h"
#include "sharing_vectors.h"
#include "vectors.h"

using namespace candela;
using namespace candela::auth;

namespace {

const WallTime kNow = from_unix_millis(1'700'000'000'000);

AccountClaims plain_account() {
    AccountClaims claims;
    claims.subject = std::string(vectors::kImporter);
    return claims;
}

Import import_of(std::string subject, std::string local, ShareKind kind = ShareKind::kService) {
    Import share;
    share.subject = std::move(subject);
    share.local_subject = std::move(local);
    share.account = std::string(vectors::kAccount.public_key);
    share.kind = kind;
    return share;
}

Export export_of(std::string subject, ShareKind kind = ShareKind::kService) {
    Export share;
    share.subject = std::move(subject);
    share.kind = kind;
    return share;
}

bool is_import_good(std::string subject, std::string local) {
    AccountClaims claims = plain_account();
    claims.imports.push_back(import_of(std::move(subject), std::move(local)));
    return check_account(claims).has_value();
}

bool are_exports_good(std::vector<Export> exports, AccountLimits limits = {}) {
    AccountClaims claims = plain_account();
    claims.exports = std::move(exports);
    claims.limits = limits;
    return check_account(claims).has_value();
}

}  // namespace

TEST_CASE("exports_and_mappings_of_another_implementation_are_read") {
    const Result<AccountClaims> claims = decode_account(vectors::kExporterJwt);
    REQUIRE(claims);
    REQUIRE(claims->exports.size() == 2);
    const Export& orders = claims->exports[0];
    CHECK(orders.name == "orders");
    CHECK(orders.subject == "orders.*");
    CHECK(orders.kind == ShareKind::kService);
    CHECK(orders.token_required);
    CHECK(orders.response_type == ResponseType::kChunked);
    CHECK(orders.response_threshold == 5s);
    CHECK(orders.revocations.at(std::string(vectors::kImporter)) == 1600000000);
    REQUIRE(orders.latency);
    CHECK(*orders.latency == Export::Latency{"25", "lat"});
    CHECK(orders.info_url == "https://example.com/");
    const Export& events = claims->exports[1];
    CHECK(events.kind == ShareKind::kStream);
    CHECK(events.account_token_position == 2);
    const std::vector<WeightedMapping> expected{{"b.$1", 40, ""}, {"c.$1", 60, ""}};
    CHECK(claims->mappings.at("a.*") == expected);
    CHECK(check_account(*claims));
}

TEST_CASE("imports_and_activations_of_another_implementation_are_read") {
    const Result<AccountClaims> claims = decode_account(vectors::kImporterJwt);
    REQUIRE(claims);
    REQUIRE(claims->imports.size() == 2);
    const Import& orders = claims->imports[0];
    CHECK(orders.account == vectors::kAccount.public_key);
    CHECK(orders.local_subject == "buy.$1");
    CHECK(orders.kind == ShareKind::kService);
    CHECK(orders.share);
    CHECK(claims->imports[1].to == "theirs");
    CHECK(claims->imports[1].kind == ShareKind::kStream);
    CHECK(check_account(*claims));
    CHECK(orders.token == vectors::kActivationJwt);
    const Result<ActivationClaims> activation = decode_activation(orders.token);
    REQUIRE(activation);
    CHECK(activation->subject == vectors::kImporter);
    CHECK(activation->issuer == vectors::kAccount.public_key);
    CHECK(activation->import_subject == "orders.*");
    CHECK(activation->kind == ShareKind::kService);
    CHECK(activation->expires_at == 4102444800);
    CHECK_FALSE(decode_activation(vectors::kImporterJwt));
    CHECK_FALSE(decode_account(vectors::kActivationJwt));
}

TEST_CASE("what_an_account_shares_survives_encoding") {
    const KeyPair op = KeyPair::generate(KeyKind::kOperator);
    for (const std::string_view jwt : {vectors::kExporterJwt, vectors::kImporterJwt}) {
        const AccountClaims claims = *decode_account(jwt);
        const Result<AccountClaims> again = decode_account(*encode_account(claims, op, kNow));
        REQUIRE(again);
        CHECK(again->exports == claims.exports);
        CHECK(again->imports == claims.imports);
        CHECK(again->mappings == claims.mappings);
    }
    const KeyPair exporter = KeyPair::generate(KeyKind::kAccount);
    ActivationClaims activation;
    activation.subject = std::string(vectors::kImporter);
    activation.import_subject = "a.>";
    activation.issuer_account = std::string(vectors::kAccount.public_key);
    const Result<ActivationClaims> again =
        decode_activation(*encode_activation(activation, exporter, kNow));
    REQUIRE(again);
    CHECK(again->import_subject == "a.>");
    CHECK(again->kind == ShareKind::kStream);
    CHECK(again->issuer == exporter.public_key());
    CHECK(again->issuer_account == vectors::kAccount.public_key);
    CHECK_FALSE(encode_activation(activation, op, kNow));
}

TEST_CASE("a_local_subject_uses_every_wildcard_once") {
    CHECK(is_import_good("a.*.*", "b.$2.$1"));
    CHECK(is_import_good("a.*.*", "b.*.*"));
    CHECK(is_import_good("a.*.>", "$1.>"));
    CHECK(is_import_good("a.*", "b.{{wildcard(1)}}"));
    CHECK(is_import_good("a.*", "b.{{Wildcard(1)}}"));
    CHECK_FALSE(is_import_good("a.*.*", "b.$1"));
    CHECK_FALSE(is_import_good("a.*", "b.$1.$1"));
    CHECK_FALSE(is_import_good("a.*", "b.$2"));
    CHECK_FALSE(is_import_good("a.*", "b.$0"));
    CHECK_FALSE(is_import_good("a.*", "b.{{partition(2,1)}}"));
    CHECK_FALSE(is_import_good("a.>", "b"));
    CHECK_FALSE(is_import_good("a", "b.>"));
    CHECK_FALSE(is_import_good("a", "b c"));
    CHECK_FALSE(is_import_good("a..b", "b"));
    CHECK_FALSE(is_import_good("", "b"));
}

TEST_CASE("imported_services_do_not_overlap") {
    AccountClaims claims = plain_account();
    claims.imports = {import_of("a", "x.*"), import_of("b.*", "y.$1")};
    claims.imports[0].subject = "a.*";
    CHECK(check_account(claims));
    claims.imports.push_back(import_of("c", "x.y"));
    CHECK_FALSE(check_account(claims));
    // Streams may: each brings its own messages.
    for (Import& share : claims.imports) share.kind = ShareKind::kStream;
    CHECK(check_account(claims));
}

TEST_CASE("an_import_names_an_account_and_uses_one_form") {
    AccountClaims claims = plain_account();
    claims.imports = {import_of("a", "b")};
    claims.imports[0].to = "c";
    CHECK_FALSE(check_account(claims));
    claims.imports = {import_of("a", "")};
    claims.imports[0].account = std::string(vectors::kUser.public_key);
    CHECK_FALSE(check_account(claims));
    claims.imports = {import_of("a", "", ShareKind::kStream)};
    claims.imports[0].share = true;
    CHECK_FALSE(check_account(claims));
}

TEST_CASE("an_activation_is_for_this_import_of_this_account") {
    AccountClaims claims = plain_account();
    claims.imports = {import_of("orders.*", "")};
    claims.imports[0].token = std::string(vectors::kActivationJwt);
    CHECK(check_account(claims));
    SECTION("another subject") { claims.imports[0].subject = "orders.>"; }
    SECTION("another kind") { claims.imports[0].kind = ShareKind::kStream; }
    SECTION("another exporter") {
        claims.imports[0].account = std::string(vectors::kSigner.public_key);
    }
    SECTION("another importer") { claims.subject = std::string(vectors::kAccount.public_key); }
    SECTION("not a JWT") { claims.imports[0].token = "x"; }
    CHECK_FALSE(check_account(claims));
}

TEST_CASE("exports_do_not_overlap_and_have_only_what_their_kind_has") {
    CHECK(are_exports_good({export_of("a.>"), export_of("b.*")}));
    CHECK(are_exports_good({export_of("a.>"), export_of("a.>", ShareKind::kStream)}));
    CHECK_FALSE(are_exports_good({export_of("a.>"), export_of("a.b")}));
    CHECK_FALSE(are_exports_good({export_of("a.b"), export_of("a.b")}));
    Export share = export_of("a", ShareKind::kStream);
    share.response_type = ResponseType::kChunked;
    CHECK_FALSE(are_exports_good({share}));
    share = export_of("a", ShareKind::kStream);
    share.response_threshold = 1s;
    CHECK_FALSE(are_exports_good({share}));
    share.kind = ShareKind::kService;
    CHECK(are_exports_good({share}));
    share.response_threshold = -1s;
    CHECK_FALSE(are_exports_good({share}));
    for (const unsigned position : {1U, 3U, 4U}) {
        share = export_of("a.*.b");
        share.account_token_position = position;
        CHECK_FALSE(are_exports_good({share}));
        share.account_token_position = 2;
        CHECK(are_exports_good({share}));
    }
}

TEST_CASE("the_operator_limits_imports_and_exports") {
    AccountLimits limits;
    limits.exports = 1;
    CHECK(are_exports_good({export_of("a.*")}, limits));
    CHECK_FALSE(are_exports_good({export_of("a"), export_of("b")}, limits));
    limits.wildcard_exports = false;
    CHECK_FALSE(are_exports_good({export_of("a.*")}, limits));
    CHECK(are_exports_good({export_of("a")}, limits));
    // As nats-server has it: without a limit of exports, wildcards are not looked at.
    limits.exports = kNoLimit;
    CHECK(are_exports_good({export_of("a.*")}, limits));
    AccountClaims claims = plain_account();
    claims.imports = {import_of("a", ""), import_of("b", "")};
    claims.limits.imports = 1;
    CHECK_FALSE(check_account(claims));
    claims.limits.imports = 2;
    CHECK(check_account(claims));
}

TEST_CASE("mappings_weigh_no_more_than_the_whole") {
    AccountClaims claims = plain_account();
    claims.mappings["a"] = {{"b", 60, ""}, {"c", 40, ""}};
    CHECK(check_account(claims));
    claims.mappings["a"].push_back({"d", 1, ""});
    CHECK_FALSE(check_account(claims));
    claims.mappings["a"].back().cluster = "east";
    CHECK(check_account(claims));
    claims.mappings["a"].back().subject = "";
    CHECK_FALSE(check_account(claims));
}

TEST_CASE("more_shares_than_an_account_may_have_are_refused") {
    const KeyPair op = KeyPair::generate(KeyKind::kOperator);
    AccountClaims claims = plain_account();
    for (int i = 0; i <= 1024; ++i) claims.exports.push_back(export_of(fmt::format("a.{}", i)));
    CHECK_FALSE(decode_account(*encode_account(claims, op, kNow)));
    claims.exports.pop_back();
    CHECK(decode_account(*encode_account(claims, op, kNow)));
}
