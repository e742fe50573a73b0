#include "tls/stream.h"

#include "tls_fixture.h"

using namespace candela;
using namespace candela::tls;
using namespace candela::tls::test;

TEST_CASE("tls_carries_bytes_both_ways_and_ends_politely") {
    TlsWorld world;
    world.connect(world.trusting());
    REQUIRE(world.client->has_value());
    REQUIRE(world.server->has_value());
    CHECK(world.client_stream().is_encrypted());
    CHECK(world.client_stream().alpn() == "http/1.1");
    CHECK(world.server_stream().alpn() == "http/1.1");
    world.client_stream().write("hello");
    REQUIRE(world.run_until([&] { return world.at_server.received == "hello"; }));
    world.server_stream().write("and back");
    world.server_stream().end();
    REQUIRE(world.run_until([&] { return world.at_client.ended; }));
    CHECK(world.at_client.received == "and back");
    CHECK(world.at_client.failure.empty());
    world.client_stream().write("still open");
    world.client_stream().end();
    REQUIRE(world.run_until([&] { return world.at_server.ended; }));
    CHECK(world.at_server.received == "hellostill open");
}

TEST_CASE("tls_carries_much_and_waits_for_a_slow_reader") {
    TlsWorld world;
    world.connect(world.trusting());
    std::string big(3'000'000, '\0');
    for (size_t at = 0; at < big.size(); ++at) big[at] = static_cast<char>(at * 31 + at / 251);
    world.server_stream().pause();
    world.client_stream().write(big);
    world.world.run_for(1s);
    CHECK(world.client_stream().queued_bytes() > 2'000'000);
    CHECK(world.at_server.received.empty());
    // One piece at a time: pausing inside on_data stops the next.
    world.at_server.on_bytes = [&] { world.server_stream().pause(); };
    world.server_stream().resume();
    world.world.run_for(1s);
    CHECK(world.at_server.received.size() <= 16 * 1024);
    world.at_server.on_bytes = nullptr;
    world.server_stream().resume();
    REQUIRE(world.run_until([&] { return world.at_server.received.size() == big.size(); }));
    CHECK(world.at_server.received == big);
    REQUIRE(world.run_until([&] { return world.at_client.drained > 0; }));
    CHECK(world.client_stream().queued_bytes() == 0);
}

TEST_CASE("tls_stream_may_be_destroyed_by_its_own_callback") {
    TlsWorld world;
    world.connect(world.trusting());
    world.at_server.on_bytes = [&] { world.server->value().reset(); };
    world.client_stream().write("hello");
    REQUIRE(world.run_until([&] { return !world.at_client.failure.empty(); }));
    CHECK(world.server->value() == nullptr);
}

TEST_CASE("tls_tells_truncation_from_an_end") {
    TlsWorld world;
    world.connect_plain();
    world.start_server();
    // A client whose plain stream ends in the middle of everything.
    world.plain->write("\x16\x03\x01");
    world.plain->end();
    Collector ignored;
    world.plain->start(ignored);
    REQUIRE(world.run_until([&] { return world.server_task->is_done(); }));
    CHECK(world.server_task->take().error().message().find("left during the TLS handshake") !=
          std::string::npos);
}

TEST_CASE("tls_server_survives_garbage_and_silence") {
    for (const std::string& bytes :
         {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(5000, '\xff'),
          std::string("\x16\x03\x01\xff\xff", 5) + std::string(70000, 'x')}) {
        TlsWorld world;
        world.connect_plain();
        world.start_server();
        Collector client;
        world.plain->start(client);
        world.plain->write(bytes);
        REQUIRE(world.run_until([&] { return world.server_task->is_done(); }));
        const Result<StreamPtr> result = world.server_task->take();
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error().message().starts_with("TLS handshake: "));
    }
    TlsWorld world;
    world.connect_plain();
    world.start_server();
    REQUIRE(world.run_until([&] { return world.server_task->is_done(); }));
    CHECK(world.server_task->take().error().message() == "TLS handshake: no answer within 10s");
    CHECK(world.world.now() > MonoTime(10s));
}

TEST_CASE("tls_handshake_can_be_cancelled_anywhere") {
    TlsWorld world;
    world.connect_plain();
    world.start_server();
    world.plain->write("\x16\x03\x01");
    world.world.run_for(10ms);
    world.server_task.reset();
    world.world.run_for(20s);
}

namespace {

std::string refusal(TlsWorld& world, const ClientOptions& options,
                    std::string name = "server.test") {
    world.connect(options, std::move(name));
    REQUIRE_FALSE(world.client->has_value());
    return world.client->error().message();
}
bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("tls_client_checks_who_it_talks_to") {
    {
        TlsWorld world;
        world.connect(world.trusting(), "10.0.0.1");
        CHECK(world.client->has_value());
    }
    {
        TlsWorld world;
        CHECK(contains(refusal(world, world.trusting(), "other.test"),
                       "certificate is for server.test, 10.0.0.1, not for other.test"));
        CHECK(world.client->error().code() == Code::kDenied);
    }
    {
        TlsWorld world;
        CHECK(contains(refusal(world, world.trusting(), "10.0.0.2"), "not for 10.0.0.2"));
    }
    {
        TlsWorld world;
        ClientOptions options;
        options.ca_pem = make_authority("another").ca_pem();
        const std::string message = refusal(world, options);
        CHECK(contains(message, "not trusted: issued by \"test authority\", fingerprint "));
    }
    {
        TlsWorld world;
        CHECK(contains(refusal(world, world.trusting(), ""), "no server name"));
    }
}

TEST_CASE("tls_client_says_when_a_certificate_expired") {
    TlsWorld world;
    const WallTime past = real_now() - 24h * 10;
    const KeyPair old = issue(world.authority, past, 24h);
    REQUIRE(world.server_context->swap(old));
    const std::string message = refusal(world, world.trusting());
    CHECK(
        contains(message, "certificate of \"server\" expired on " +
                              format_rfc3339(inspect_certificate(old.certificate_pem)->not_after)));
}

TEST_CASE("tls_client_may_pin_one_certificate") {
    const auto pin = [](const TlsWorld&, std::string fingerprint) {
        ClientOptions options;
        options.pinned_fingerprint = std::move(fingerprint);
        return options;
    };
    TlsWorld world;
    const KeyPair pair = issue(world.authority);
    REQUIRE(world.server_context->swap(pair));
    const std::string fingerprint = inspect_certificate(pair.certificate_pem)->fingerprint;
    world.connect(pin(world, fingerprint), "whatever.test");
    CHECK(world.client->has_value());

    TlsWorld other;
    const std::string message = refusal(other, pin(other, fingerprint));
    CHECK(contains(message, "not trusted: fingerprint "));
    CHECK(contains(message, "where " + fingerprint + " was expected"));
}

TEST_CASE("tls_server_takes_a_new_certificate_while_it_runs") {
    TlsWorld world;
    world.connect(world.trusting());
    REQUIRE(world.client->has_value());
    REQUIRE(world.server_context->swap(issue(world.authority)));
    world.client_stream().write("goes on");
    REQUIRE(world.run_until([&] { return world.at_server.received == "goes on"; }));

    KeyPair broken;
    broken.certificate_pem = "garbage";
    CHECK_FALSE(world.server_context->swap(broken));
    KeyPair mixed;
    mixed.certificate_pem = issue(world.authority).certificate_pem;
    mixed.key_pem = issue(world.authority).key_pem.clone();
    const Result<> swapped = world.server_context->swap(mixed);
    REQUIRE_FALSE(swapped);
    CHECK(contains(swapped.error().message(), "does not belong to the certificate"));
}

TEST_CASE("tls_server_may_ask_for_client_certificates") {
    const Authority clients = make_authority("clients");
    ServerOptions options;
    options.client_ca_pem = clients.ca_pem();
    CertificateRequest request;
    request.common_name = "host-1";
    request.for_server = false;
    request.for_client = true;
    request.now = real_now();
    const KeyPair good = clients.issue(request).value();
    const KeyPair foreign = make_authority("foreign").issue(request).value();
    for (const auto& [pair, accepted] :
         {std::pair{&good, true}, {&foreign, false}, {(const KeyPair*)nullptr, false}}) {
        TlsWorld world(options);
        ClientOptions client = world.trusting();
        client.key_pair = pair;
        world.connect(client);
        CHECK(world.server->has_value() == accepted);
    }
}

TEST_CASE("tls_peers_without_a_common_protocol_part") {
    TlsWorld world;
    ClientOptions options = world.trusting();
    options.alpn = {"h2"};
    CHECK_FALSE(refusal(world, options).empty());
}

TEST_CASE("tls_contexts_refuse_options_that_make_no_sense") {
    ClientOptions options;
    options.pinned_fingerprint = "abc";
    CHECK_FALSE(ClientContext::create(options));
    options.pinned_fingerprint = std::string(64, 'a');
    CHECK(ClientContext::create(options));
    options.ca_pem = make_authority().ca_pem();
    CHECK_FALSE(ClientContext::create(options));
    options.pinned_fingerprint.clear();
    options.ca_pem = "garbage";
    CHECK_FALSE(ClientContext::create(options));
}

TEST_CASE("tls_an_authority_is_known_by_its_fingerprint_where_the_server_sends_it") {
    const auto refused = [](std::string fingerprint, bool sends_authority, std::string name) {
        TlsWorld world;
        CertificateRequest request;
        request.common_name = "x";
        request.names = {"server.test"};
        request.now = real_now();
        request.lifetime = 24h;
        KeyPair pair = world.authority.issue(request).value();
        if (sends_authority) pair.certificate_pem += world.authority.ca_pem();
        REQUIRE(world.server_context->swap(pair));
        ClientOptions options;
        options.pinned_authority = fingerprint.empty()
                                       ? inspect_certificate(world.authority.ca_pem())->fingerprint
                                       : std::move(fingerprint);
        world.connect(options, std::move(name));
        return !world.client->has_value();
    };
    CHECK_FALSE(refused("", true, "server.test"));
    CHECK(refused("", true, "other.test"));
    CHECK(refused("", false, "server.test"));
    CHECK(refused(std::string(64, 'a'), true, "server.test"));
    ClientOptions both;
    both.pinned_authority = std::string(64, 'a');
    both.pinned_fingerprint = std::string(64, 'a');
    CHECK_FALSE(ClientContext::create(both));
}

TEST_CASE("tls_data_cut_off_without_a_farewell_is_an_error") {
    TlsWorld world;
    world.connect(world.trusting());
    world.client_stream().write("half");
    REQUIRE(world.run_until([&] { return world.at_server.received == "half"; }));
    world.client->value().reset();  // no close_notify
    REQUIRE(world.run_until([&] { return !world.at_server.failure.empty(); }));
    CHECK_FALSE(world.at_server.ended);
}

TEST_CASE("tls_server_shows_the_certificate_of_the_name_asked_for") {
    TlsWorld world;
    const auto issued = [&](std::vector<std::string> names) {
        CertificateRequest request;
        request.common_name = names.front();
        request.names = std::move(names);
        request.now = real_now();
        request.lifetime = 24h;
        return world.authority.issue(request).value();
    };
    KeyPair pairs[] = {issued({"first.test", "exact.wild.test"}), issued({"second.test"}),
                       issued({"*.wild.test", "wild.test"})};
    const auto shown = [&](std::string name, size_t expected) {
        TlsWorld fresh;
        REQUIRE(fresh.server_context->swap(std::span<const KeyPair>(pairs)));
        ClientOptions options;
        options.pinned_fingerprint =
            inspect_certificate(pairs[expected].certificate_pem)->fingerprint;
        fresh.connect(options, std::move(name));
        return fresh.client->has_value();
    };
    CHECK(shown("first.test", 0));
    CHECK(shown("second.test", 1));
    CHECK(shown("SECOND.test", 1));
    CHECK(shown("a.wild.test", 2));
    CHECK(shown("wild.test", 2));
    CHECK(shown("exact.wild.test", 0));
    CHECK(shown("a.b.wild.test", 0));
    CHECK(shown("unknown.test", 0));
    CHECK(shown("10.0.0.1", 0));
    CHECK_FALSE(world.server_context->swap(std::span<const KeyPair>()));
}

TEST_CASE("tls_server_shows_the_first_of_those_with_one_wildcard") {
    TlsWorld world;
    CertificateRequest request;
    request.common_name = "x";
    request.names = {"*.wild.test"};
    request.now = real_now();
    const KeyPair pairs[] = {world.authority.issue(request).value(),
                             world.authority.issue(request).value()};
    REQUIRE(world.server_context->swap(std::span<const KeyPair>(pairs)));
    ClientOptions options;
    options.pinned_fingerprint = inspect_certificate(pairs[0].certificate_pem)->fingerprint;
    world.connect(options, "a.wild.test");
    CHECK(world.client->has_value());
}
