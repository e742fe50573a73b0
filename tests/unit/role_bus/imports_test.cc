#include "imports.h"

#include <catch2/catch_test_macros.hpp>

#include "cloud.h"

using namespace test;
using auth::ShareKind;

namespace {

auth::Export export_of(std::string subject, ShareKind kind) {
    auth::Export share;
    share.subject = std::move(subject);
    share.kind = kind;
    return share;
}

// shop exports, other imports.
class SharingCloud : public Cloud {
public:
    auth::Import import_of(std::string subject, std::string local, ShareKind kind,
                           const auth::Account* from = nullptr) const {
        auth::Import share;
        share.subject = std::move(subject);
        share.local_subject = std::move(local);
        share.kind = kind;
        share.account = (from != nullptr ? *from : shop).public_key();
        return share;
    }
    // Has the bus take the account's claims with these shares.
    void put(const auth::Account& account, std::vector<auth::Export> exports,
             std::vector<auth::Import> imports = {}) {
        auth::AccountClaims claims = *auth::decode_account(account.jwt);
        claims.exports = std::move(exports);
        claims.imports = std::move(imports);
        const Result<> put =
            server->put_account(*auth::encode_account(claims, operator_key, loop->wall()));
        REQUIRE(put);
    }
    void share_service(std::string subject, std::string local,
                       auth::ResponseType type = auth::ResponseType::kSingleton) {
        auth::Export share = export_of(subject, ShareKind::kService);
        share.response_type = type;
        put(shop, {share});
        put(other, {}, {import_of(subject, std::move(local), ShareKind::kService)});
    }
    void share_stream(std::string subject, std::string local) {
        put(shop, {export_of(subject, ShareKind::kStream)});
        put(other, {}, {import_of(subject, std::move(local), ShareKind::kStream)});
    }
    RawClient& in_shop() { return log_in(mint(shop)); }
    RawClient& in_other() { return log_in(mint(other)); }
    // What the client is sent, once it has come.
    std::string next(RawClient& client) {
        world.run_for(20ms);
        return client.take();
    }
    std::string activation(const auth::KeyPair& signer, std::string subject, ShareKind kind,
                           int64_t expires_at = 0, std::string issuer_account = {}) {
        auth::ActivationClaims claims;
        claims.subject = other.public_key();
        claims.import_subject = std::move(subject);
        claims.kind = kind;
        claims.expires_at = expires_at;
        claims.issuer_account = std::move(issuer_account);
        return *auth::encode_activation(claims, signer, loop->wall());
    }
};

// The reply subject of what a service was asked.
std::string reply_of(const std::string& message) {
    const size_t start = message.find("_R_.");
    REQUIRE(start != std::string::npos);
    return message.substr(start, message.find(' ', start) - start);
}

std::string publish(std::string_view subject, std::string_view payload) {
    return fmt::format("PUB {} {}\r\n{}\r\n", subject, payload.size(), payload);
}

}  // namespace

TEST_CASE("a_stream_is_heard_in_the_importing_account_under_its_name_there") {
    SharingCloud cloud;
    cloud.share_stream("events.*.>", "theirs.$1.>");
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    CHECK(cloud.talk(other, "SUB theirs.> 1\r\nSUB events.> 2\r\nSUB theirs.a.* 3\r\n").empty());
    cloud.talk(shop, "PUB events.a.b back 2\r\nhi\r\nPUB secret 0\r\n\r\n");
    const std::string got = cloud.next(other);
    CHECK(got.find("MSG theirs.a.b 1 back 2\r\nhi\r\n") != std::string::npos);
    CHECK(got.find("MSG theirs.a.b 3 back 2\r\nhi\r\n") != std::string::npos);
    CHECK(got.size() == 2 * std::string_view("MSG theirs.a.b 1 back 2\r\nhi\r\n").size());
    // Nothing goes the other way.
    CHECK(cloud.talk(shop, "SUB > 1\r\n").empty());
    cloud.talk(other, "PUB theirs.a.b 0\r\n\r\n");
    CHECK(cloud.next(shop).empty());
}

TEST_CASE("one_publication_reaches_its_own_account_and_the_importing_one") {
    SharingCloud cloud;
    cloud.share_stream("a", "b");
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    cloud.talk(shop, "SUB a 1\r\n");
    cloud.talk(other, "SUB b 1\r\n");
    for (int i = 0; i < 5; ++i) {  // the publisher's own route is remembered
        CHECK(cloud.talk(shop, publish("a", "x")) == "MSG a 1 1\r\nx\r\n");
        CHECK(cloud.next(other) == "MSG b 1 1\r\nx\r\n");
    }
}

TEST_CASE("members_of_one_queue_group_in_both_accounts_are_one_group") {
    SharingCloud cloud;
    cloud.share_stream("jobs", "jobs");
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    cloud.talk(shop, "SUB jobs workers 1\r\n");
    cloud.talk(other, "SUB jobs workers 1\r\nSUB jobs others 2\r\n");
    RawClient& publisher = cloud.in_shop();
    for (int i = 0; i < 200; ++i) cloud.talk(publisher, publish("jobs", "x"));
    const auto count = [](const std::string& text, std::string_view what) {
        size_t found = 0;
        for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
        return found;
    };
    const std::string in_shop = cloud.next(shop);
    const std::string in_other = cloud.next(other);
    const size_t of_shop = count(in_shop, "MSG jobs 1 ");
    const size_t of_other = count(in_other, "MSG jobs 1 ");
    CHECK(of_shop + of_other == 200);
    CHECK(of_shop > 50);
    CHECK(of_other > 50);
    CHECK(count(in_other, "MSG jobs 2 ") == 200);
}

TEST_CASE("a_publication_that_only_an_importing_account_hears_has_a_responder") {
    SharingCloud cloud;
    cloud.share_stream("a.>", "b.>");
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    CHECK(cloud.talk(shop, "SUB in 9\r\nPUB a.x in 0\r\n\r\n")
              .starts_with("HMSG in 9 16 16\r\nNATS/1.0 503"));
    cloud.talk(other, "SUB b.x 1\r\n");
    CHECK(cloud.talk(shop, "PUB a.x in 0\r\n\r\n").empty());
}

TEST_CASE("a_service_is_asked_under_the_importers_name_and_answers_once") {
    SharingCloud cloud;
    cloud.share_service("orders.*.*", "buy.$2.$1");
    RawClient& service = cloud.in_shop();
    RawClient& asker = cloud.in_other();
    cloud.talk(service, "SUB orders.> 1\r\n");
    cloud.talk(asker, "SUB in 9\r\nPUB buy.book.red in 2\r\nhi\r\n");
    const std::string asked = cloud.next(service);
    CHECK(asked.starts_with("HMSG orders.red.book 1 _R_."));
    CHECK(asked.ends_with("\r\nhi\r\n"));
    CHECK(asked.find("Nats-Request-Info: {\"acc\":\"" + cloud.other.public_key() + "\"}\r\n") !=
          std::string::npos);
    const std::string reply = reply_of(asked);
    cloud.talk(service, publish(reply, "yes"));
    CHECK(cloud.next(asker) == "MSG in 9 3\r\nyes\r\n");
    cloud.talk(service, publish(reply, "again"));
    CHECK(cloud.next(asker).empty());
    CHECK(cloud.server->imports().responses().waiting() == 0);
}

TEST_CASE("a_request_without_a_reply_crosses_as_well") {
    SharingCloud cloud;
    cloud.share_service("log", "");
    RawClient& service = cloud.in_shop();
    RawClient& asker = cloud.in_other();
    cloud.talk(service, "SUB log 1\r\n");
    cloud.talk(asker, publish("log", "line"));
    const std::string got = cloud.next(service);
    CHECK(got.starts_with("HMSG log 1 "));
    CHECK(got.find("_R_") == std::string::npos);
    CHECK(cloud.server->imports().responses().waiting() == 0);
}

TEST_CASE("a_service_that_nobody_offers_is_told_at_once") {
    SharingCloud cloud;
    cloud.share_service("orders", "");
    RawClient& asker = cloud.in_other();
    CHECK(cloud.talk(asker, "SUB in 9\r\nPUB orders in 0\r\n\r\n")
              .starts_with("HMSG in 9 16 16\r\nNATS/1.0 503"));
    CHECK(cloud.server->imports().responses().waiting() == 0);
}

TEST_CASE("answers_of_type_stream_end_with_an_empty_one") {
    SharingCloud cloud;
    cloud.share_service("list", "", auth::ResponseType::kStream);
    RawClient& service = cloud.in_shop();
    RawClient& asker = cloud.in_other();
    cloud.talk(service, "SUB list 1\r\n");
    cloud.talk(asker, "SUB in 9\r\nPUB list in 0\r\n\r\n");
    const std::string reply = reply_of(cloud.next(service));
    cloud.talk(service, publish(reply, "1") + publish(reply, "2"));
    CHECK(cloud.next(asker) == "MSG in 9 1\r\n1\r\nMSG in 9 1\r\n2\r\n");
    cloud.talk(service, publish(reply, "") + publish(reply, "3"));
    CHECK(cloud.next(asker) == "MSG in 9 0\r\n\r\n");
}

TEST_CASE("an_answer_that_comes_too_late_is_for_nobody") {
    SharingCloud cloud;
    auth::Export share = export_of("slow", ShareKind::kService);
    share.response_threshold = 5s;
    cloud.put(cloud.shop, {share});
    cloud.put(cloud.other, {}, {cloud.import_of("slow", "", ShareKind::kService)});
    RawClient& service = cloud.in_shop();
    RawClient& asker = cloud.in_other();
    cloud.talk(service, "SUB slow 1\r\n");
    cloud.talk(asker, "SUB in 9\r\nPUB slow in 0\r\n\r\nPUB slow in 0\r\n\r\n");
    const std::string reply = reply_of(cloud.next(service));
    cloud.world.run_for(5s);
    cloud.talk(service, publish(reply, "late"));
    CHECK(cloud.next(asker).empty());
    cloud.world.run_for(2s);
    CHECK(cloud.server->imports().responses().waiting() == 0);
}

TEST_CASE("no_more_requests_wait_for_an_answer_than_an_account_may_have") {
    SharingCloud cloud;
    cloud.share_service("never", "");
    RawClient& service = cloud.in_shop();
    RawClient& asker = cloud.in_other();
    cloud.talk(service, "SUB never 1\r\n");
    cloud.talk(asker, "SUB in 9\r\n");
    std::string flood;
    for (int i = 0; i < 1024; ++i) flood += "PUB never in 0\r\n\r\n";
    for (size_t i = 0; i < Responses::kWaitingPerAccountMax / 1024; ++i) {
        CHECK(cloud.talk(asker, flood).empty());
    }
    CHECK(cloud.server->imports().responses().waiting() == Responses::kWaitingPerAccountMax);
    CHECK(
        cloud.talk(asker, "PUB never in 0\r\n\r\n").starts_with("HMSG in 9 16 16\r\nNATS/1.0 503"));
    cloud.world.run_for(Responses::kThreshold + 2s);
    CHECK(cloud.server->imports().responses().waiting() == 0);
    CHECK(cloud.talk(asker, "PUB never in 0\r\n\r\n").find("503") == std::string::npos);
}

TEST_CASE("a_forged_request_info_does_not_cross") {
    SharingCloud cloud;
    cloud.share_service("who", "");
    RawClient& service = cloud.in_shop();
    RawClient& asker = cloud.in_other();
    cloud.talk(service, "SUB who 1\r\n");
    const std::string headers =
        "NATS/1.0\r\nnats-request-info: {\"acc\":\"forged\"}\r\nA: b\r\n\r\n";
    cloud.talk(asker, fmt::format("HPUB who {} {}\r\n{}hi\r\n", headers.size(), headers.size() + 2,
                                  headers));
    const std::string got = cloud.next(service);
    CHECK(got.find("forged") == std::string::npos);
    CHECK(got.find("NATS/1.0\r\nA: b\r\nNats-Request-Info: {\"acc\":\"") != std::string::npos);
    CHECK(got.ends_with("}\r\n\r\nhi\r\n"));
}

TEST_CASE("who_asks_is_told_only_where_its_account_shares_that") {
    SharingCloud cloud;
    cloud.put(cloud.shop, {export_of("who", ShareKind::kService)});
    auth::Import share = cloud.import_of("who", "", ShareKind::kService);
    share.share = true;
    cloud.put(cloud.other, {}, {share});
    RawClient& service = cloud.in_shop();
    const auth::Credentials credentials = cloud.mint(cloud.other);
    const std::string user = credentials.key.public_key();
    RawClient& asker = cloud.log_in(credentials, "\"headers\":true,\"name\":\"till\"");
    cloud.talk(service, "SUB who 1\r\n");
    cloud.talk(asker, publish("who", ""));
    const std::string got = cloud.next(service);
    CHECK(got.find("\"user\":\"" + user + "\"") != std::string::npos);
    CHECK(got.find("\"name\":\"till\"") != std::string::npos);
    share.share = false;
    cloud.put(cloud.other, {}, {share});
    cloud.talk(asker, publish("who", ""));
    CHECK(cloud.next(service).find(user) == std::string::npos);
}

TEST_CASE("a_service_may_be_imported_from_an_account_that_imports_it") {
    SharingCloud cloud;
    cloud.put(cloud.shop, {export_of("one", ShareKind::kService)});
    cloud.put(cloud.other, {export_of("one", ShareKind::kService)},
              {cloud.import_of("one", "", ShareKind::kService)});
    cloud.put(cloud.system, {}, {cloud.import_of("one", "uno", ShareKind::kService, &cloud.other)});
    RawClient& service = cloud.in_shop();
    RawClient& asker = cloud.log_in(cloud.mint(cloud.system));
    cloud.talk(service, "SUB one 1\r\n");
    cloud.talk(asker, "SUB in 9\r\nPUB uno in 1\r\n?\r\n");
    const std::string asked = cloud.next(service);
    CHECK(asked.find("\"acc\":\"" + cloud.system.public_key()) != std::string::npos);
    CHECK(asked.find("\"svc\":\"" + cloud.other.public_key()) != std::string::npos);
    cloud.talk(service, publish(reply_of(asked), "!"));
    CHECK(cloud.next(asker) == "MSG in 9 1\r\n!\r\n");
    CHECK(cloud.server->imports().responses().waiting() == 0);
}

TEST_CASE("a_circle_of_imports_is_not_closed") {
    SharingCloud cloud;
    for (const ShareKind kind : {ShareKind::kService, ShareKind::kStream}) {
        cloud.put(cloud.shop, {export_of("a.>", kind)});
        cloud.put(cloud.other, {export_of("a.*", kind)}, {cloud.import_of("a.>", "", kind)});
        CHECK(cloud.server->imports().active(
                  *cloud.server->accounts().find(cloud.other.public_key())) == 1);
        cloud.put(cloud.shop, {export_of("a.>", kind)},
                  {cloud.import_of("a.*", "", kind, &cloud.other)});
        CHECK(cloud.server->imports().active(
                  *cloud.server->accounts().find(cloud.shop.public_key())) == 0);
        RawClient& client = cloud.in_shop();
        cloud.talk(client, "SUB a.> 1\r\n");
        CHECK(cloud.talk(client, publish("a.x", "")) == "MSG a.x 1 0\r\n\r\n");
        // Under another name it is no circle.
        cloud.put(cloud.shop, {export_of("a.>", kind)},
                  {cloud.import_of("a.*", "b.*", kind, &cloud.other)});
        CHECK(cloud.server->imports().active(
                  *cloud.server->accounts().find(cloud.shop.public_key())) == 1);
        cloud.put(cloud.shop, {});
        cloud.put(cloud.other, {});
    }
}

TEST_CASE("a_chain_of_services_is_cut_where_it_is_too_long") {
    SharingCloud cloud;
    std::vector<auth::Account> chain;
    for (size_t i = 0; i <= Imports::kDepthMax + 1; ++i) {
        chain.push_back(
            *auth::make_account(cloud.operator_key, fmt::format("c{}", i), Cloud::start()));
        REQUIRE(cloud.server->put_account(chain.back().jwt));
        std::vector<auth::Import> imports;
        if (i > 0) imports = {cloud.import_of("deep", "", ShareKind::kService, &chain[i - 1])};
        cloud.put(chain.back(), {export_of("deep", ShareKind::kService)}, imports);
    }
    RawClient& service = cloud.log_in(cloud.mint(chain[0]));
    cloud.talk(service, "SUB deep 1\r\n");
    RawClient& near = cloud.log_in(cloud.mint(chain[Imports::kDepthMax]));
    CHECK(cloud.talk(near, "SUB in 9\r\nPUB deep in 0\r\n\r\n").empty());
    CHECK_FALSE(cloud.next(service).empty());
    RawClient& far = cloud.log_in(cloud.mint(chain[Imports::kDepthMax + 1]));
    CHECK(cloud.talk(far, "SUB in 9\r\nPUB deep in 0\r\n\r\n")
              .starts_with("HMSG in 9 16 16\r\nNATS/1.0 503"));
    CHECK(cloud.next(service).empty());
}

TEST_CASE("an_import_needs_an_export_and_works_from_when_there_is_one") {
    SharingCloud cloud;
    cloud.put(cloud.other, {}, {cloud.import_of("a", "", ShareKind::kStream)});
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    cloud.talk(other, "SUB a 1\r\n");
    const auto is_heard = [&] {
        cloud.talk(shop, publish("a", ""));
        return !cloud.next(other).empty();
    };
    CHECK_FALSE(is_heard());
    cloud.put(cloud.shop, {export_of("a", ShareKind::kService)});
    CHECK_FALSE(is_heard());
    cloud.put(cloud.shop, {export_of("b", ShareKind::kStream)});
    CHECK_FALSE(is_heard());
    cloud.put(cloud.shop, {export_of("*", ShareKind::kStream)});
    CHECK(is_heard());
    cloud.put(cloud.shop, {});
    CHECK_FALSE(is_heard());
    cloud.put(cloud.shop, {export_of("a", ShareKind::kStream)});
    CHECK(is_heard());
    cloud.put(cloud.other, {});
    CHECK_FALSE(is_heard());
    CHECK_FALSE(shop.is_ended);
    CHECK_FALSE(other.is_ended);
}

TEST_CASE("an_exporter_may_go_and_come_back") {
    SharingCloud cloud;
    cloud.share_service("a", "");
    RawClient& asker = cloud.in_other();
    CHECK(cloud.server->remove_account(cloud.shop.public_key()));
    CHECK(cloud.talk(asker, "SUB in 9\r\nPUB a in 0\r\n\r\n").starts_with("HMSG in 9 "));
    cloud.put(cloud.shop, {export_of("a", ShareKind::kService)});
    RawClient& service = cloud.in_shop();
    cloud.talk(service, "SUB a 1\r\n");
    cloud.talk(asker, "PUB a in 0\r\n\r\n");
    const std::string reply = reply_of(cloud.next(service));
    // The asker's account goes while its answer is on the way.
    CHECK(cloud.server->remove_account(cloud.other.public_key()));
    cloud.talk(service, publish(reply, "!"));
    CHECK(cloud.server->imports().responses().waiting() == 0);
    CHECK_FALSE(service.is_ended);
}

TEST_CASE("a_private_export_needs_an_activation") {
    SharingCloud cloud;
    auth::Export share = export_of("a.*", ShareKind::kStream);
    share.token_required = true;
    cloud.put(cloud.shop, {share});
    auth::Import wanted = cloud.import_of("a.x", "", ShareKind::kStream);
    const Account& other = *cloud.server->accounts().find(cloud.other.public_key());
    const auto is_active = [&](std::string token) {
        wanted.token = std::move(token);
        cloud.put(cloud.other, {}, {wanted});
        return cloud.server->imports().active(other) == 1;
    };
    CHECK_FALSE(is_active(""));
    const std::string shop_key = cloud.shop.public_key();
    CHECK(is_active(
        cloud.activation(cloud.shop.signing_key, "a.*", ShareKind::kStream, 0, shop_key)));
    // Not by a key that is none of the exporter's.
    CHECK_FALSE(is_active(cloud.activation(auth::KeyPair::generate(auth::KeyKind::kAccount), "a.*",
                                           ShareKind::kStream, 0, shop_key)));
    // Revoked for this importer, or for all; what is issued later is good.
    for (const std::string& key : {cloud.other.public_key(), std::string("*")}) {
        CHECK(is_active(
            cloud.activation(cloud.shop.signing_key, "a.*", ShareKind::kStream, 0, shop_key)));
        share.revocations = {{key, unix_seconds(cloud.loop->wall())}};
        cloud.put(cloud.shop, {share});
        CHECK(cloud.server->imports().active(other) == 0);
        cloud.world.run_for(1s);
        CHECK(is_active(
            cloud.activation(cloud.shop.signing_key, "a.*", ShareKind::kStream, 0, shop_key)));
    }
}

TEST_CASE("an_activation_ends_with_its_time") {
    SharingCloud cloud;
    auth::Export share = export_of("a", ShareKind::kStream);
    share.token_required = true;
    cloud.put(cloud.shop, {share});
    auth::Import wanted = cloud.import_of("a", "", ShareKind::kStream);
    wanted.token =
        cloud.activation(cloud.shop.signing_key, "a", ShareKind::kStream,
                         unix_seconds(cloud.loop->wall()) + 100, cloud.shop.public_key());
    cloud.put(cloud.other, {}, {wanted});
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    cloud.talk(other, "SUB a 1\r\n");
    cloud.world.run_for(98s);
    other.take();
    cloud.talk(shop, publish("a", ""));
    CHECK(cloud.next(other) == "MSG a 1 0\r\n\r\n");
    cloud.world.run_for(3s);
    other.take();
    cloud.talk(shop, publish("a", ""));
    CHECK(cloud.next(other).empty());
}

TEST_CASE("a_token_of_the_subject_may_have_to_be_the_importers_key") {
    SharingCloud cloud;
    auth::Export share = export_of("to.*.>", ShareKind::kStream);
    share.account_token_position = 2;
    cloud.put(cloud.shop, {share});
    const Account& other = *cloud.server->accounts().find(cloud.other.public_key());
    const auto is_active = [&](std::string subject) {
        cloud.put(cloud.other, {}, {cloud.import_of(std::move(subject), "", ShareKind::kStream)});
        return cloud.server->imports().active(other) == 1;
    };
    CHECK(is_active("to." + cloud.other.public_key() + ".>"));
    CHECK(is_active("to." + cloud.other.public_key() + ".x"));
    CHECK_FALSE(is_active("to." + cloud.shop.public_key() + ".>"));
    CHECK_FALSE(is_active("to.*.>"));
}

TEST_CASE("the_old_form_with_to_is_understood") {
    SharingCloud cloud;
    cloud.put(cloud.shop,
              {export_of("ev.>", ShareKind::kStream), export_of("theirs", ShareKind::kService)});
    auth::Import stream = cloud.import_of("ev.>", "", ShareKind::kStream);
    stream.to = "pre";
    auth::Import service = cloud.import_of("mine", "", ShareKind::kService);
    service.to = "theirs";
    cloud.put(cloud.other, {}, {stream, service});
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    cloud.talk(other, "SUB pre.ev.x 1\r\n");
    cloud.talk(shop, "SUB theirs 2\r\n" + publish("ev.x", ""));
    CHECK(cloud.next(other) == "MSG pre.ev.x 1 0\r\n\r\n");
    cloud.talk(other, publish("mine", ""));
    CHECK(cloud.next(shop).starts_with("HMSG theirs 2 "));
}

TEST_CASE("an_account_whose_shares_do_not_fit_is_refused") {
    SharingCloud cloud;
    auth::AccountClaims claims = *auth::decode_account(cloud.shop.jwt);
    claims.exports = {export_of("a.>", ShareKind::kStream), export_of("a.b", ShareKind::kStream)};
    const Result<> put = cloud.server->put_account(
        *auth::encode_account(claims, cloud.operator_key, cloud.loop->wall()));
    REQUIRE_FALSE(put);
    CHECK(put.error().code() == Code::kInvalid);
}

TEST_CASE("a_subscription_that_ends_with_a_message_gets_no_second_one") {
    SharingCloud cloud;
    cloud.put(cloud.shop, {export_of("a.*", ShareKind::kStream)});
    // One message comes in twice, under names that one subscription hears.
    cloud.put(cloud.other, {},
              {cloud.import_of("a.*", "b.*", ShareKind::kStream),
               cloud.import_of("a.x", "b.y", ShareKind::kStream)});
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    cloud.talk(other, "SUB b.* 1\r\nUNSUB 1 1\r\n");
    cloud.talk(shop, publish("a.x", ""));
    const std::string got = cloud.next(other);
    CHECK((got == "MSG b.x 1 0\r\n\r\n" || got == "MSG b.y 1 0\r\n\r\n"));
}

TEST_CASE("a_message_goes_no_more_ways_than_it_may") {
    SharingCloud cloud;
    std::vector<auth::Import> imports;
    for (size_t i = 0; i < Imports::kPassagesMax + 10; ++i) {
        imports.push_back(cloud.import_of("a", fmt::format("b.{}", i), ShareKind::kStream));
    }
    cloud.put(cloud.shop, {export_of("a", ShareKind::kStream)});
    cloud.put(cloud.other, {}, imports);
    RawClient& shop = cloud.in_shop();
    RawClient& other = cloud.in_other();
    cloud.talk(other, "SUB b.* 1\r\n");
    cloud.talk(shop, publish("a", ""));
    const std::string got = cloud.next(other);
    size_t count = 0;
    for (size_t at = 0; (at = got.find("MSG b.", at)) != std::string::npos; ++at) ++count;
    CHECK(count == Imports::kPassagesMax);
}
