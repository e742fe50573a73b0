// Which keys make and open session tickets when, and what a client of another implementation sees
// of it.

#include "tls/ticket_keys.h"

#include <catch2/catch_test_macros.hpp>

#include "s_client.h"

using namespace candela;
using namespace candela::tls;
using namespace candela::tls::test;

namespace {

const WallTime kStart = from_unix_millis(1'800'000'000'000);

std::vector<TicketKey> clones_of(const std::vector<TicketKey>& keys) {
    std::vector<TicketKey> out;
    for (const TicketKey& key : keys) out.push_back(key.clone());
    return out;
}

// As OpenSSL prints 16 bytes.
std::string spaced_hex(std::string_view bytes) {
    std::string out;
    for (size_t i = 0; i < bytes.size(); ++i) {
        if (i != 0) out += i == 8 ? '-' : ' ';
        out += fmt::format("{:02x}", static_cast<uint8_t>(bytes[i]));
    }
    return out;
}

}  // namespace

TEST_CASE("a_key_of_our_own_makes_tickets_for_a_period_and_opens_them_for_two") {
    TicketKeys keys(1h);
    CHECK(keys.current() == nullptr);
    CHECK(keys.advance(kStart) == 1h);
    const std::string first = keys.current()->name;
    CHECK(keys.advance(kStart + 59min) == 1min);
    CHECK(keys.current()->name == first);
    keys.advance(kStart + 1h);
    CHECK(keys.current()->name != first);
    CHECK(keys.find(first) != nullptr);
    keys.advance(kStart + 2h);
    CHECK(keys.find(first) == nullptr);
    CHECK(keys.current() != nullptr);
}

TEST_CASE("two_servers_with_the_same_schedule_use_the_same_key_at_each_time") {
    std::vector<TicketKey> schedule;
    CHECK(advance_ticket_schedule(schedule, kStart, 1h));
    CHECK_FALSE(advance_ticket_schedule(schedule, kStart + 1min, 1h));
    REQUIRE(schedule.size() == 2);
    CHECK(schedule[1].from == schedule[0].makes_until());
    TicketKeys one(1h);
    TicketKeys other(1h);
    one.advance(kStart);  // has a key of its own by then
    const std::string own = one.current()->name;
    for (TicketKeys* const keys : {&one, &other}) REQUIRE(keys->add(clones_of(schedule), kStart));
    CHECK(one.current()->name == schedule[0].name);
    CHECK(other.current()->name == schedule[0].name);
    CHECK(one.find(own) != nullptr);
    // The next one is known before anyone uses it.
    CHECK(one.find(schedule[1].name) != nullptr);
    const WallTime later = schedule[1].from;
    one.advance(later);
    other.advance(later);
    CHECK(one.current()->name == schedule[1].name);
    CHECK(other.current()->name == schedule[1].name);
    CHECK(other.find(schedule[0].name) != nullptr);
    other.advance(schedule[0].until);
    CHECK(other.find(schedule[0].name) == nullptr);
    // Without a newer one a server goes on with its own.
    one.advance(schedule[1].makes_until());
    CHECK_FALSE(one.current()->is_shared);
    CHECK(one.find(schedule[1].name) != nullptr);
}

TEST_CASE("a_schedule_keeps_the_last_key_the_one_in_force_and_the_next") {
    std::vector<TicketKey> schedule;
    WallTime now = kStart;
    for (int i = 0; i < 1000; ++i) {
        advance_ticket_schedule(schedule, now, 10min);
        REQUIRE(schedule.size() <= 3);
        REQUIRE(schedule.back().from > now);
        REQUIRE(schedule[schedule.size() - 2].from <= now);
        now += ticket_schedule_wait(schedule, now);
    }
    CHECK(now > kStart + 24h);
    // A clock that jumps, in either direction, ends the old ones.
    const std::string last = schedule.front().name;
    for (const Duration jump : {Duration(-24h * 30), Duration(24h * 30)}) {
        CHECK(advance_ticket_schedule(schedule, now + jump, 10min));
        CHECK(schedule.size() == 2);
        CHECK(schedule.front().name != last);
    }
}

TEST_CASE("keys_that_can_not_be_are_refused_and_those_that_are_kept_are_bounded") {
    TicketKeys keys(1h);
    TicketKey short_name = make_ticket_key(kStart, 1h);
    short_name.name.pop_back();
    TicketKey short_secret = make_ticket_key(kStart, 1h);
    short_secret.secret = Secret(std::string("short"));
    TicketKey backwards = make_ticket_key(kStart, 1h);
    backwards.until = backwards.from;
    TicketKey endless = make_ticket_key(kStart, 1h);
    endless.until = endless.from + 2 * kTicketPeriodMax + 1ms;
    for (TicketKey* const bad : {&short_name, &short_secret, &backwards, &endless}) {
        std::vector<TicketKey> some;
        some.push_back(make_ticket_key(kStart, 1h));
        const std::string good = some.front().name;
        some.push_back(bad->clone());
        CHECK(keys.add(std::move(some), kStart).error().code() == Code::kInvalid);
        CHECK(keys.find(good) == nullptr);
    }
    std::vector<std::string> names;
    for (size_t i = 0; i < 3 * TicketKeys::kKeysMax; ++i) {
        std::vector<TicketKey> one;
        one.push_back(make_ticket_key(kStart + i * 1s, 1h));
        names.push_back(one.front().name);
        REQUIRE(keys.add(std::move(one), kStart + i * 1s));
    }
    size_t kept = 0;
    for (const std::string& name : names) kept += keys.find(name) != nullptr ? 1 : 0;
    CHECK(kept == TicketKeys::kKeysMax);
    CHECK(keys.current()->name == names.back());
}

// ---- with openssl s_client

TEST_CASE("a_session_is_resumed_over_a_swap_and_one_rotation_and_not_over_two") {
    if (!SClient::is_there()) SKIP("openssl is not installed");
    for (const std::string version : {"-tls1_2", "-tls1_3"}) {
        INFO(version);
        const Authority authority = make_authority();
        ServerOptions options;
        options.ticket_keys = std::make_shared<TicketKeys>(1h);
        const WallTime start = real_now();
        options.ticket_keys->advance(start);
        const auto context = ServerContext::create(issue(authority), options).value();
        SClient client(context);
        CHECK(client.run(version + " -sess_out {dir}/first").starts_with("New"));
        CHECK(client.run(version + " -sess_in {dir}/first").starts_with("Reused"));
        REQUIRE(context->swap(issue(authority)));
        CHECK(client.run(version + " -sess_in {dir}/first").starts_with("Reused"));
        options.ticket_keys->advance(start + 1h);
        // It comes with a ticket of the newer key, which s_client shows, and keeps of TLS 1.3.
        const std::string resumed =
            client.output(version + " -sess_in {dir}/first -sess_out {dir}/second");
        CHECK(resumed.find("\nReused, ") != std::string::npos);
        CHECK(resumed.find("0000 - " + spaced_hex(options.ticket_keys->current()->name)) !=
              std::string::npos);
        options.ticket_keys->advance(start + 2h);
        CHECK(client.run(version + " -sess_in {dir}/first").starts_with("New"));
        if (version != "-tls1_3") continue;
        CHECK(client.run(version + " -sess_in {dir}/second").starts_with("Reused"));
        options.ticket_keys->advance(start + 3h);
        CHECK(client.run(version + " -sess_in {dir}/second").starts_with("New"));
    }
}

TEST_CASE("another_server_with_the_same_keys_resumes_and_one_with_others_does_not") {
    if (!SClient::is_there()) SKIP("openssl is not installed");
    const Authority authority = make_authority();
    std::vector<TicketKey> schedule;
    advance_ticket_schedule(schedule, real_now(), 1h);
    const auto make = [&](bool is_sharing) {
        ServerOptions options;
        options.ticket_keys = std::make_shared<TicketKeys>(1h);
        if (is_sharing) REQUIRE(options.ticket_keys->add(clones_of(schedule), real_now()));
        options.ticket_keys->advance(real_now());
        return ServerContext::create(issue(authority), options).value();
    };
    SClient one(make(true));
    SClient other(make(true));
    SClient stranger(make(false));
    for (const std::string version : {"-tls1_2", "-tls1_3"}) {
        INFO(version);
        const std::string session = one.directory() + "/session";
        CHECK(one.run(version + " -sess_out " + session).starts_with("New"));
        CHECK(stranger.run(version + " -sess_in " + session).starts_with("New"));
        CHECK(other.run(version + " -sess_in " + session).starts_with("Reused"));
    }
}

TEST_CASE("a_session_is_resumed_under_its_own_name_only") {
    if (!SClient::is_there()) SKIP("openssl is not installed");
    const Authority authority = make_authority();
    ServerOptions options;
    options.ticket_keys = std::make_shared<TicketKeys>(1h);
    options.ticket_keys->advance(real_now());
    const auto context = ServerContext::create(issue(authority), options).value();
    SClient client(context);
    for (const std::string version : {"-tls1_2", "-tls1_3"}) {
        INFO(version);
        CHECK(client.run(version + " -sess_out {dir}/session", "server.test").starts_with("New"));
        CHECK(client.run(version + " -sess_in {dir}/session", "other.test").starts_with("New"));
        CHECK(client.run(version + " -sess_in {dir}/session", "SERVER.test").starts_with("Reused"));
        CHECK(client.run(version + " -sess_in {dir}/session", "server.test").starts_with("Reused"));
    }
}
