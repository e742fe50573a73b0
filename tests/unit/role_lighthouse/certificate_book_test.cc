#include "certificate_book.h"

#include <algorithm>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "base/encoding.h"
#include "loop/file.h"
#include "loop/uv_loop.h"
#include "temp_folder.h"

namespace candela::lighthouse {
namespace {

using candela::test::TempFolder;

class World {
public:
    World() { REQUIRE(open()); }

    // As a new start of the lighthouse.
    Result<> open() {
        book.reset();
        state.reset();
        vault = std::make_unique<Vault>(loop, folder.path());
        CANDELA_TRY(finish(vault->open()));
        state = std::make_unique<State>(loop, Logger(), PlanLimits(), HoldLimits());
        CANDELA_TRY(finish(state->open("sqlite:" + (folder / "state.db").string())));
        book =
            std::make_unique<CertificateBook>(*state, *vault, metrics, ticket_rotation, Logger());
        return finish(book->open());
    }

    template <class T>
    T finish(Task<T> task) {
        task.start([](void*) {}, nullptr);
        REQUIRE(loop.run_until([&] { return task.is_done(); }, 20s));
        return task.take();
    }

    tls::KeyPair pair(std::vector<std::string> names) {
        tls::CertificateRequest request;
        request.common_name = "x";
        request.names = std::move(names);
        request.now = loop.wall();
        return authority.issue(request).value();
    }
    Result<std::string> put(std::string name, std::vector<std::string> names) {
        return finish(
            book->put(std::move(name), CertificateSource::kAdded, pair(std::move(names))));
    }
    proto::CertificatesPull pull() const {
        proto::CertificatesPull pull;
        pull.node = "gw";
        pull.box_key = std::string(as_text(box.public_key()));
        return pull;
    }

    Duration ticket_rotation = 12h;
    TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    Metrics metrics;
    tls::Authority authority = tls::Authority::create("ca", loop.wall(), 24h * 30).value();
    crypto::BoxKey box = crypto::BoxKey::generate();
    std::unique_ptr<Vault> vault;
    std::unique_ptr<State> state;
    std::unique_ptr<CertificateBook> book;
};

}  // namespace

TEST_CASE("certificates_outlive_a_restart_and_their_keys_are_sealed") {
    World world;
    CHECK(*world.put("", {"A.example.org"}) == "a.example.org");
    const std::string key(world.book->all().at("a.example.org").key_pair.key_pem.reveal());
    const uint64_t version = world.book->version();
    REQUIRE(world.open());
    const HeldCertificate& held = world.book->all().at("a.example.org");
    CHECK(held.key_pair.key_pem.reveal() == key);
    CHECK(held.source == CertificateSource::kAdded);
    CHECK(world.book->version() > version);
    CHECK(world.metrics.render().find("certificate_expiry_seconds{name=\"a.example.org\"}") !=
          std::string::npos);
    const std::string line = key.substr(30, 40);
    for (const char* file : {"state.db", "state.db-wal"}) {
        const auto content = read_file(world.folder / file);
        if (content) CHECK(content->find(line) == std::string::npos);
    }
    CHECK(world.finish(world.book->remove("a.example.org")));
    CHECK(world.finish(world.book->remove("a.example.org")).error().code() == Code::kNotFound);
    REQUIRE(world.open());
    CHECK(world.book->all().empty());
}

TEST_CASE("certificates_whose_sealing_key_is_lost_are_left_out") {
    World world;
    REQUIRE(world.put("a", {"a.example.org"}));
    std::filesystem::remove(world.folder / "sealing.key");
    REQUIRE(world.open());
    CHECK(world.book->all().empty());
    world.folder.write("sealing.key", "not a key\n", 0600);
    CHECK(world.open().error().code() == Code::kCorrupt);
}

TEST_CASE("certificates_are_checked_before_they_are_kept") {
    World world;
    tls::KeyPair wrong = world.pair({"a.example.org"});
    wrong.key_pem = world.pair({"a.example.org"}).key_pem.clone();
    const auto put = [&](std::string name, tls::KeyPair pair) {
        return world.finish(
            world.book->put(std::move(name), CertificateSource::kAdded, std::move(pair)));
    };
    CHECK(put("", std::move(wrong)).error().code() == Code::kInvalid);
    for (const std::string name : {"../x", "A", "a b", "a/b"}) {
        INFO(name);
        CHECK_FALSE(put(name, world.pair({"a.example.org"})));
    }
    CHECK_FALSE(put(std::string(254, 'a'), world.pair({"a.example.org"})));
    tls::KeyPair huge = world.pair({"a.example.org"});
    huge.certificate_pem += std::string(proto::kChainBytesMax, '\n');
    CHECK_FALSE(put("", std::move(huge)));
    CHECK(world.book->all().empty());
}

TEST_CASE("gateways_get_the_same_keys_of_session_tickets_sealed_for_each_and_newer_ones_in_time") {
    World world;
    world.ticket_rotation = 1s;
    REQUIRE(world.open());
    const auto names_of = [](const proto::CertificateTable& page) {
        std::vector<std::string> names;
        for (const proto::TicketKey& key : page.ticket_keys) names.push_back(key.name);
        return names;
    };
    const proto::CertificateTable one = world.book->page_for(world.pull()).value();
    REQUIRE(one.ticket_keys.size() >= 2);
    const Secret secret = world.box.open(as_bytes(one.ticket_keys.front().secret)).value();
    CHECK(secret.reveal().size() == tls::kTicketSecretBytes);
    const crypto::BoxKey box = crypto::BoxKey::generate();
    proto::CertificatesPull other = world.pull();
    other.box_key = std::string(as_text(box.public_key()));
    const proto::CertificateTable two = world.book->page_for(other).value();
    CHECK(names_of(two) == names_of(one));
    CHECK(box.open(as_bytes(two.ticket_keys.front().secret))->reveal() == secret.reveal());
    CHECK_FALSE(box.open(as_bytes(one.ticket_keys.front().secret)));
    uint64_t told = 0;
    world.book->on_changed = [&](uint64_t version) { told = version; };
    REQUIRE(world.loop.run_until([&] { return told != 0; }, 20s));
    const proto::CertificateTable later = world.book->page_for(world.pull()).value();
    CHECK(later.version == told);
    CHECK(names_of(later).back() != names_of(one).back());
    CHECK(std::ranges::find(later.ticket_keys, names_of(one).back(), &proto::TicketKey::name) !=
          later.ticket_keys.end());
    // No certificate has changed, and none is sent for it.
    CHECK(later.certificates_version == one.certificates_version);
}

TEST_CASE("gateways_get_what_they_lack_in_pages_sealed_for_them_alone") {
    World world;
    std::vector<std::string> names;
    for (int i = 0; i < 3; ++i) {
        tls::KeyPair pair = world.pair({"a.example.org"});
        // Text between certificates is allowed, and makes the pages full soon.
        pair.certificate_pem += std::string(100 * 1024, '\n');
        names.push_back(*world.finish(
            world.book->put(fmt::format("c{}", i), CertificateSource::kAcme, std::move(pair))));
    }
    world.book->set_challenges({proto::Challenge("a.example.org", "token", "token.x")});
    proto::CertificatesPull pull = world.pull();
    std::vector<std::string> got;
    proto::CertificateTable page;
    do {
        page = world.book->page_for(pull).value();
        CHECK(proto::encode(page).size() < 512 * 1024);
        CHECK(page.challenges.size() == 1);
        for (const proto::Certificate& certificate : page.certificates) {
            const HeldCertificate& held = world.book->all().at(certificate.name);
            CHECK(world.box.open(as_bytes(certificate.key))->reveal() ==
                  held.key_pair.key_pem.reveal());
            CHECK_FALSE(crypto::BoxKey::generate().open(as_bytes(certificate.key)));
            CHECK(certificate.key.find("PRIVATE KEY") == std::string::npos);
            got.push_back(certificate.name);
        }
        pull.after = got.back();
    } while (page.has_more);
    CHECK(got == names);

    // Who has the certificates is told of challenges only; who has all, of nothing.
    pull = world.pull();
    pull.certificates_version = page.certificates_version;
    page = world.book->page_for(pull).value();
    CHECK(page.certificates.empty());
    CHECK(page.challenges.size() == 1);
    pull.version = page.version;
    CHECK(world.book->page_for(pull)->challenges.empty());
    pull = world.pull();
    pull.box_key = "short";
    CHECK(world.book->page_for(pull).error().code() == Code::kInvalid);
}

TEST_CASE("challenges_are_served_when_every_gateway_that_is_heard_says_so") {
    World world;
    world.state->listening(true);
    CHECK_FALSE(world.book->has_gateway());
    std::vector<uint64_t> told;
    world.book->on_changed = [&](uint64_t version) { told.push_back(version); };
    world.book->set_challenges({proto::Challenge("a", "t", "t.x")});
    world.book->set_challenges({proto::Challenge("a", "t", "t.x")});  // the same again
    CHECK(told == std::vector<uint64_t>{world.book->version()});
    const auto beat = [&](const std::string& node, uint64_t version, uint64_t sequence) {
        proto::NodeHeartbeat message;
        message.node = node;
        message.boot_id = "1";
        message.sequence = sequence;
        message.roles = {"gateway"};
        message.certificates_version = version;
        world.state->hear(message);
    };
    beat("gw-1", world.book->version(), 1);
    beat("gw-2", world.book->version() - 1, 1);
    CHECK(world.book->has_gateway());
    CHECK_FALSE(world.book->is_served(world.book->version()));
    beat("gw-2", world.book->version(), 2);
    CHECK(world.book->is_served(world.book->version()));
}

}  // namespace candela::lighthouse
