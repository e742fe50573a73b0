#include "account_mappings.h"

#include <catch2/catch_test_macros.hpp>

#include "cloud.h"

using namespace test;

namespace {

auth::WeightedMapping to(std::string subject, unsigned weight = 100, std::string cluster = {}) {
    return auth::WeightedMapping{std::move(subject), weight, std::move(cluster)};
}

// What becomes of a subject; "-" where the message is lost.
class Mapper {
public:
    explicit Mapper(const auth::SubjectMappings& claims)
        : mappings(AccountMappings::create(
              claims, [this](std::string_view source, std::string_view problem) {
                  refused.push_back(fmt::format("{}: {}", source, problem));
              })) {}
    std::string operator()(std::string_view subject) {
        if (mappings == nullptr) return std::string(subject);
        switch (mappings->apply(subject, random, out)) {
            case AccountMappings::Outcome::kSame: return std::string(subject);
            case AccountMappings::Outcome::kMapped: return out;
            case AccountMappings::Outcome::kLost: break;
        }
        return "-";
    }
    std::map<std::string, int> count(std::string_view subject, int times = 1000) {
        std::map<std::string, int> counts;
        for (int i = 0; i < times; ++i) ++counts[(*this)(subject)];
        return counts;
    }

    std::vector<std::string> refused;
    SeededRandom random{7};
    std::string out;
    std::unique_ptr<AccountMappings> mappings;
};

// shop's JWT says so.
class MappingCloud : public Cloud {
public:
    void put(const auth::Account& account, auth::SubjectMappings mappings,
             std::vector<auth::Export> exports = {}, std::vector<auth::Import> imports = {}) {
        auth::AccountClaims claims = *auth::decode_account(account.jwt);
        claims.mappings = std::move(mappings);
        claims.exports = std::move(exports);
        claims.imports = std::move(imports);
        REQUIRE(server->put_account(*auth::encode_account(claims, operator_key, loop->wall())));
    }
};

}  // namespace

TEST_CASE("a_subject_goes_where_its_mapping_says") {
    Mapper map({{"a", {to("b")}},
                {"b", {to("c")}},
                {"ev.*.*", {to("out.$2.{{wildcard(1)}}")}},
                {"rest.>", {to("in.>")}},
                {"part.*", {to("part.{{partition(10,1)}}.$1")}}});
    CHECK(map.refused.empty());
    CHECK(map("a") == "b");
    CHECK(map("b") == "c");
    CHECK(map("ev.x.y") == "out.y.x");
    CHECK(map("ev.x") == "ev.x");
    CHECK(map("rest.1.2") == "in.1.2");
    CHECK(map("part.foo") == "part.3.foo");
    CHECK(map("other") == "other");
    CHECK(map("a") == "b");
}

TEST_CASE("the_narrower_mapping_goes_first") {
    Mapper map({{">", {to("all.>")}},
                {"a.>", {to("rest.>")}},
                {"a.*", {to("star.$1")}},
                {"a.*.>", {to("deep.$1.>")}},
                {"*.x", {to("x.$1")}},
                {"a.x", {to("literal")}}});
    CHECK(map.refused.empty());
    CHECK(map("a.x") == "literal");
    CHECK(map("a.y") == "star.y");
    CHECK(map("b.x") == "x.b");
    CHECK(map("a.y.z") == "deep.y.z");
    CHECK(map("b") == "all.b");
}

TEST_CASE("destinations_have_their_shares") {
    Mapper map({{"half", {to("one", 20), to("two", 30)}},
                {"wild.*", {to("w.$1", 25)}},
                {"loss", {to("loss", 40), to("kept", 20)}},
                {"whole", {to("x", 60), to("y", 40)}},
                {"none", {}}});
    auto counts = map.count("half");
    CHECK(counts.size() == 3);
    CHECK((counts["one"] > 150 && counts["one"] < 250));
    CHECK((counts["two"] > 250 && counts["two"] < 350));
    CHECK((counts["half"] > 440 && counts["half"] < 560));
    counts = map.count("wild.q");
    CHECK((counts["w.q"] > 200 && counts["w.q"] < 300));
    CHECK(counts["w.q"] + counts["wild.q"] == 1000);
    // Whoever names the subject itself means the rest to be lost.
    counts = map.count("loss");
    CHECK((counts["loss"] > 340 && counts["loss"] < 460));
    CHECK((counts["kept"] > 150 && counts["kept"] < 250));
    CHECK((counts["-"] > 340 && counts["-"] < 460));
    counts = map.count("whole");
    CHECK(counts["x"] + counts["y"] == 1000);
    CHECK((counts["x"] > 540 && counts["x"] < 660));
    CHECK(map("none") == "none");
}

TEST_CASE("what_is_for_members_of_a_cluster_is_not_for_us") {
    Mapper map({{"a", {to("b", 100, "east")}},
                {"c", {to("d", 60, "east"), to("e", 100)}},
                {"f", {to("f", 50, "east")}}});
    CHECK(map("a") == "a");
    CHECK(map("c") == "e");
    CHECK(map("f") == "-");
}

TEST_CASE("a_mapping_that_makes_no_subject_does_not_act") {
    Mapper map({{"a", {to("b.*")}},
                {"b.*", {to("c.$2")}},
                {"c.>", {to("d")}},
                {"d", {to("e.>")}},
                {"e", {to("f", 50), to("f", 20)}},
                {"g.*", {to("g.{{partition(0,1)}}")}},
                {"h", {to("h.{{nonsense(1)}}")}},
                {"good", {to("better")}}});
    CHECK(map.refused.size() == 7);
    for (const char* subject : {"a", "b.x", "c.x", "d", "e", "g.x", "h"}) {
        INFO(subject);
        CHECK(map(subject) == subject);
    }
    CHECK(map("good") == "better");
    CHECK(Mapper({{"a", {to("b.*")}}}).mappings == nullptr);
    CHECK(Mapper({}).mappings == nullptr);
}

TEST_CASE("odd_subjects_are_mapped_without_harm") {
    Mapper map({{"a.>", {to("b.>")}}, {"c.*", {to("d.$1")}}, {"*.*.*", {to("$3.$2.$1")}}});
    for (const char* subject : {"", ".", "a", "a.", "a..x", "c.", "c.*", "..", "a.>", "c.>"}) {
        INFO(subject);
        map(subject);
    }
    CHECK(map("c.*") == "d.*");
    const std::string deep = "a" + std::string(2000, '.');
    CHECK(map(deep) == "b" + std::string(2000, '.'));
}

TEST_CASE("clients_publish_where_the_account_says") {
    MappingCloud cloud;
    cloud.put(cloud.shop,
              {{"a", {to("b")}}, {"ev.*.*", {to("out.$2.$1")}}, {"gone", {to("gone", 1)}}});
    RawClient& listener = cloud.log_in();
    RawClient& publisher = cloud.log_in();
    cloud.talk(listener, "SUB > 1\r\n");
    for (int i = 0; i < 3; ++i) {  // the publisher's own route is remembered
        cloud.talk(publisher, "PUB a 1\r\nx\r\nPUB ev.1.2 back 0\r\n\r\nPUB c 0\r\n\r\n");
        CHECK(cloud.talk(listener, "") ==
              "MSG b 1 1\r\nx\r\nMSG out.2.1 1 back 0\r\n\r\nMSG c 1 0\r\n\r\n");
    }
    // Those of other accounts go on as they are.
    RawClient& other = cloud.log_in(cloud.mint(cloud.other));
    CHECK(cloud.talk(other, "SUB > 1\r\nPUB a 0\r\n\r\n") == "MSG a 1 0\r\n\r\n");
    // Changes count at once, for those who are connected.
    cloud.put(cloud.shop, {{"a", {to("z")}}});
    cloud.talk(publisher, "PUB a 0\r\n\r\nPUB ev.1.2 0\r\n\r\n");
    CHECK(cloud.talk(listener, "") == "MSG z 1 0\r\n\r\nMSG ev.1.2 1 0\r\n\r\n");
    cloud.put(cloud.shop, {});
    cloud.talk(publisher, "PUB a 0\r\n\r\n");
    CHECK(cloud.talk(listener, "") == "MSG a 1 0\r\n\r\n");
}

TEST_CASE("permissions_are_for_the_subject_that_a_message_gets") {
    MappingCloud cloud;
    cloud.put(cloud.shop, {{"a", {to("b")}}});
    const auto publish = [&](std::vector<std::string> allow, std::vector<std::string> deny) {
        auth::Permissions permissions;
        permissions.publish.allow = std::move(allow);
        permissions.publish.deny = std::move(deny);
        RawClient& client = cloud.log_in(cloud.mint(cloud.shop, permissions));
        return cloud.talk(client, "PUB a 0\r\n\r\n");
    };
    CHECK(publish({"a"}, {}) == "-ERR 'Permissions Violation for Publish to \"b\"'\r\n");
    CHECK(publish({"b"}, {}).empty());
    CHECK(publish({}, {"a"}).empty());
    CHECK(publish({}, {"b"}) == "-ERR 'Permissions Violation for Publish to \"b\"'\r\n");
}

TEST_CASE("a_request_that_is_lost_by_its_share_has_no_responder") {
    MappingCloud cloud;
    cloud.put(cloud.shop, {{"gone", {to("gone", 1)}}, {"to", {to("nobody")}}});
    RawClient& client = cloud.log_in();
    cloud.talk(client, "SUB in 1\r\nSUB gone 2\r\nSUB to 3\r\n");
    int lost = 0;
    for (int i = 0; i < 200; ++i) {
        lost += cloud.talk(client, "PUB gone in 0\r\n\r\n") ==
                        "HMSG in 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
                    ? 1
                    : 0;
    }
    CHECK(lost > 180);
    CHECK(cloud.talk(client, "PUB to in 0\r\n\r\n") ==
          "HMSG in 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
}

TEST_CASE("what_is_asked_of_another_account_is_mapped_there") {
    MappingCloud cloud;
    auth::Export share;
    share.subject = "svc.*";
    share.kind = auth::ShareKind::kService;
    auth::Import import;
    import.subject = "svc.*";
    import.local_subject = "ask.$1";
    import.kind = auth::ShareKind::kService;
    import.account = cloud.shop.public_key();
    cloud.put(cloud.shop, {{"svc.*", {to("v2.$1")}}, {"svc.lost", {to("svc.lost", 1)}}}, {share});
    cloud.put(cloud.other, {{"say", {to("ask.me")}}, {"old.in", {to("in")}}}, {}, {import});
    RawClient& shop = cloud.log_in();
    RawClient& other = cloud.log_in(cloud.mint(cloud.other));
    cloud.talk(shop, "SUB v2.* 1\r\nSUB svc.* 2\r\n");
    cloud.talk(other, "SUB in 1\r\nPUB ask.x in 0\r\n\r\n");
    CHECK(cloud.talk(shop, "").find("HMSG v2.x 1 _R_.") == 0);
    // The importer's own mapping comes first, and then the exporter's.
    cloud.talk(other, "PUB say in 0\r\n\r\n");
    CHECK(cloud.talk(shop, "").find("HMSG v2.me 1 _R_.") == 0);
    // And the asker's once more, for the answer.
    cloud.talk(other, "PUB ask.x old.in 0\r\n\r\n");
    const std::string asked = cloud.talk(shop, "");
    const size_t reply = asked.find("_R_.");
    REQUIRE(reply != std::string::npos);
    cloud.talk(shop,
               "PUB " + asked.substr(reply, asked.find(' ', reply) - reply) + " 3\r\nyes\r\n");
    CHECK(cloud.talk(other, "") == "MSG in 1 3\r\nyes\r\n");
    int lost = 0;
    for (int i = 0; i < 100; ++i) {
        const std::string answer = cloud.talk(other, "PUB ask.lost in 0\r\n\r\n");
        lost += answer == "HMSG in 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" ? 1 : 0;
    }
    CHECK(lost > 85);
}
