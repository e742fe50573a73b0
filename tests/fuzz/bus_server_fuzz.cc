// A client of the bus that says what it likes, before and after its login: nothing crashes, nothing
// of it is left behind, and what it is answered does not depend on how its bytes were cut. And a
// user whose claims are what they like. The first byte chooses.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "role_bus/cloud.h"

using namespace candela;

namespace {

void check(bool condition) {
    if (!condition) std::abort();
}

constexpr size_t kInputMax = 8 * 1024;
constexpr size_t kPiecesMax = 64;

struct Fixture {
    test::Cloud cloud{limits()};
    auth::Credentials plain = cloud.mint(cloud.shop);
    auth::Credentials limited = cloud.mint(cloud.shop, permissions());
    size_t services = subscriptions();

    static bus_role::ServerOptions limits() {
        bus_role::ServerOptions options;
        options.payload_max = 4096;
        options.subscriptions_max = 64;
        return options;
    }
    static auth::Permissions permissions() {
        auth::Permissions out;
        out.publish.allow = {"a.>", "b"};
        out.publish.deny = {"a.b"};
        out.subscribe.allow = {"a.*", "b q", "b", "in"};
        out.subscribe.deny = {"a.c"};
        out.response = auth::ResponsePermission{2, 1s};
        return out;
    }
    size_t subscriptions() {
        return cloud.server->accounts().find(cloud.shop.public_key())->sublist.size();
    }
};

constexpr const char* kConnectOptions[] = {
    R"("headers":true,"no_responders":true)",
    R"("headers":false,"echo":false)",
    R"("headers":true,"verbose":true,"pedantic":true)",
    R"("headers":true,"no_responders":true,"echo":false,"protocol":1)",
};

// What it answers depends on chance or on the end of a round: members of queues are drawn by lot,
// and services of the server answer later.
struct Chance {
    bool on_line(const bus::Line& line, std::string_view, std::string_view) {
        is_there = is_there || !line.queue.empty() || line.subject.starts_with('$');
        return true;
    }
    bool is_there = false;
};

bool depends_on_chance(std::string_view input) {
    bus::ServerReader reader(SIZE_MAX);
    Chance chance;
    (void)reader.feed(input, chance);  // what is behind an error is not read by anybody
    return chance.is_there;
}

std::string talk(Fixture& fixture, std::string_view input, size_t piece, uint8_t mode) {
    test::Cloud& cloud = fixture.cloud;
    test::RawClient& client = (mode & 1) != 0
                                  ? cloud.log_in((mode & 2) != 0 ? fixture.limited : fixture.plain,
                                                 kConnectOptions[(mode >> 2) & 3])
                                  : cloud.dial();
    client.take();
    for (size_t pieces = 1; !input.empty(); ++pieces) {
        const std::string_view part = input.substr(0, pieces < kPiecesMax ? piece : SIZE_MAX);
        input.remove_prefix(part.size());
        client.send(part);
        cloud.world.run_for(2ms);
    }
    cloud.world.run_for(20ms);
    std::string answer = client.take();
    cloud.raw.clear();
    cloud.world.run_until([&] { return cloud.server->connection_count() == 0; }, 10s);
    check(cloud.server->connection_count() == 0);
    check(fixture.subscriptions() == fixture.services);
    return answer;
}

// The input becomes the "nats" object of a user's claims, but for its brace; they are otherwise in
// order.
void log_in_with(Fixture& fixture, std::string_view nats) {
    const auto encode = [](std::string_view text) { return base64url_encode(as_bytes(text)); };
    static const auth::KeyPair user = auth::KeyPair::generate(auth::KeyKind::kUser);
    const auth::KeyPair& signer = fixture.cloud.shop.signing_key;
    const std::string part =
        encode(R"({"typ":"JWT","alg":"ed25519-nkey"})") + "." +
        encode("{\"iat\":1,\"iss\":\"" + signer.public_key() + "\",\"sub\":\"" + user.public_key() +
               "\",\"nats\":{\"issuer_account\":\"" + fixture.cloud.shop.public_key() + "\"," +
               std::string(nats) + "}");
    const std::string jwt = part + "." + base64url_encode(signer.sign(part));
    const auth::Credentials credentials{jwt, *auth::KeyPair::from_seed(user.seed().reveal())};
    test::Cloud& cloud = fixture.cloud;
    test::RawClient& client = cloud.log_in(credentials);
    if (!client.is_ended) {
        cloud.talk(client, "SUB a 1\r\nSUB a.* q 2\r\nPUB a.b in 2\r\nhi\r\nPUB a 0\r\n\r\n");
    }
    cloud.raw.clear();
    cloud.world.run_until([&] { return cloud.server->connection_count() == 0; }, 10s);
    check(fixture.subscriptions() == fixture.services);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2 || size > kInputMax) return 0;
    static Fixture fixture;
    const uint8_t mode = data[0];
    const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
    if ((mode & 0xe0) == 0xe0) {
        log_in_with(fixture, input);
        return 0;
    }
    const std::string whole = talk(fixture, input, SIZE_MAX, mode);
    const std::string cut = talk(fixture, input, size_t{data[1]} % 64 + 1, mode);
    if ((mode & 1) == 0 || depends_on_chance(input)) return 0;
    // Whoever is closed without a word may not get what was said in the same moment.
    check(whole.starts_with(cut) || cut.starts_with(whole));
    if (whole.ends_with("'\r\n") && cut.ends_with("'\r\n")) check(whole == cut);
    return 0;
}
