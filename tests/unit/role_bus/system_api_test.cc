#include <catch2/catch_test_macros.hpp>

#include <nlohmann/json.hpp>

#include "cloud.h"

using namespace test;

static Json ask(Cloud& cloud, bus::Client& client, std::string subject, std::string payload) {
    const Result<bus::OwnedMessage> answer =
        cloud.run(client.request(std::move(subject), std::move(payload), 1s));
    REQUIRE(answer);
    return *parse_json(answer->payload);
}

TEST_CASE("an_account_is_pushed_listed_and_looked_up_through_the_system_account") {
    Cloud cloud;
    bus::Client& sys = cloud.connect(cloud.mint(cloud.system));
    const auth::Account fresh = *auth::make_account(cloud.operator_key, "fresh", Cloud::start());
    const Json updated = ask(cloud, sys, "$SYS.REQ.CLAIMS.UPDATE", fresh.jwt);
    CHECK(updated["data"]["code"] == 200);
    CHECK(updated["data"]["account"] == fresh.public_key());
    CHECK(ask(cloud, sys, "$SYS.REQ.CLAIMS.LIST", "")["data"].size() == 4);
    const auto found =
        cloud.run(sys.request("$SYS.REQ.ACCOUNT." + fresh.public_key() + ".CLAIMS.LOOKUP", "", 1s));
    REQUIRE(found);
    CHECK(found->payload == fresh.jwt);
    CHECK(cloud.connect(cloud.mint(fresh)).is_connected());
}

TEST_CASE("an_update_that_is_not_the_operators_is_refused") {
    Cloud cloud;
    bus::Client& sys = cloud.connect(cloud.mint(cloud.system));
    const auth::Account stranger = *auth::make_account(
        auth::KeyPair::generate(auth::KeyKind::kOperator), "stranger", Cloud::start());
    CHECK(ask(cloud, sys, "$SYS.REQ.CLAIMS.UPDATE", stranger.jwt)["error"]["code"] == 500);
    CHECK(ask(cloud, sys, "$SYS.REQ.CLAIMS.UPDATE", "rubbish")["error"]["code"] == 500);
}

TEST_CASE("accounts_are_removed_by_a_request_that_the_operator_signed") {
    Cloud cloud;
    bus::Client& sys = cloud.connect(cloud.mint(cloud.system));
    bus::Client& shop = cloud.connect();
    auth::GenericClaims claims;
    claims.accounts = {cloud.shop.public_key(), cloud.system.public_key()};
    const std::string forged = *auth::encode_generic(
        claims, auth::KeyPair::generate(auth::KeyKind::kOperator), Cloud::start());
    CHECK(ask(cloud, sys, "$SYS.REQ.CLAIMS.DELETE", forged).contains("error"));
    const std::string jwt = *auth::encode_generic(claims, cloud.operator_key, Cloud::start());
    CHECK(ask(cloud, sys, "$SYS.REQ.CLAIMS.DELETE", jwt)["data"]["message"] ==
          "deleted 1 accounts");
    cloud.world.run_for(100ms);
    CHECK_FALSE(shop.is_connected());
    CHECK(sys.is_connected());
}

TEST_CASE("every_user_can_ask_who_it_is") {
    Cloud cloud;
    auth::Permissions permissions;
    permissions.publish.allow = {"$SYS.REQ.USER.INFO"};
    const auth::Credentials me = cloud.mint(cloud.shop, permissions);
    const Json info = ask(cloud, cloud.connect(me), "$SYS.REQ.USER.INFO", "");
    CHECK(info["data"]["user"] == me.key.public_key());
    CHECK(info["data"]["account"] == cloud.shop.public_key());
    CHECK(info["data"]["permissions"]["publish"]["allow"][0] == "$SYS.REQ.USER.INFO");
}

TEST_CASE("other_accounts_reach_no_claims") {
    Cloud cloud;
    bus::Client& shop = cloud.connect();
    const auto answer = cloud.run(shop.request("$SYS.REQ.CLAIMS.LIST", "", 1s));
    CHECK(answer.error().code() == Code::kUnreachable);
}
