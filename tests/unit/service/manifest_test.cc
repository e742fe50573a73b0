#include "service/manifest.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "tls/authority.h"

namespace candela::service {

namespace {
Manifest parse(std::string_view text) {
    auto manifest = parse_manifest(text);
    INFO((manifest ? "" : manifest.error().message()));
    REQUIRE(manifest);
    return *manifest;
}
std::string mistakes(std::string_view text) {
    const auto manifest = parse_manifest(text);
    REQUIRE_FALSE(manifest);
    return manifest.error().message();
}
bool contains(std::string_view text, std::string_view part) {
    if (text.find(part) != std::string_view::npos) return true;
    UNSCOPED_INFO("in: " << text);
    UNSCOPED_INFO("missing: " << part);
    return false;
}

constexpr std::string_view kFull = R"(
name = "hello"
kind = "http"
command = ["node", "server.js"]
instances = 2
[env]
GREETING = "hi"
[probe]
path = "/healthz"
interval = "2s"
timeout = "700ms"
start_timeout = "1m"
[stop]
grace = "5s"
[update]
strategy = "rolling"
max_surge = 2
max_unavailable = 1
[[route]]
host = "Hello.localhost"
path = "/api/"
[[route]]
path = "/"
)";
}  // namespace

TEST_CASE("every key of service.toml is read") {
    const Manifest m = parse(kFull);
    CHECK(m.name == "hello");
    CHECK(m.kind == Kind::kHttp);
    CHECK(m.command == std::vector<std::string>{"node", "server.js"});
    CHECK(m.instances == 2);
    CHECK(m.env.at("GREETING") == "hi");
    CHECK(m.probe.type == Probe::Type::kHttp);
    CHECK(m.probe.path == "/healthz");
    CHECK(m.probe.interval == 2s);
    CHECK(m.probe.timeout == 700ms);
    CHECK(m.probe.start_timeout == 1min);
    CHECK(m.stop.grace == 5s);
    CHECK(m.update.max_surge == 2);
    CHECK(m.update.max_unavailable == 1);
    REQUIRE(m.routes.size() == 2);
    CHECK(m.routes[0] == Route{"hello.localhost", "/api"});
    CHECK(m.routes[1] == Route{"", "/"});
}

TEST_CASE("walls and limits of a service are read, and come back from JSON") {
    const Manifest m = parse(
        "name = \"a\"\ncommand = [\"x\"]\n[sandbox]\nlevel = \"strict\"\n"
        "[limits]\nmemory = \"256MiB\"\ncpu_percent = 150\npids = 64\nscratch = \"1GiB\"\n");
    CHECK(m.sandbox == SandboxLevel::kStrict);
    CHECK(m.limits == Limits{256ULL << 20, 150, 64, 1ULL << 30});
    CHECK(manifest_from_json(to_json(m)).value() == m);
    const Manifest plain = parse("name = \"a\"\ncommand = [\"x\"]\n");
    CHECK(plain.sandbox == SandboxLevel::kNone);
    CHECK(plain.limits == Limits());
    // What an older lighthouse would not know is not said where nothing is asked for.
    CHECK_FALSE(to_json(plain).contains("sandbox"));
    CHECK_FALSE(to_json(plain).contains("limits"));
    const auto little = parse_manifest(
        "name = \"a\"\ncommand = [\"x\"]\n[limits]\nmemory = \"1KiB\"\npids = 1\nscratch = \"1B\"\n"
        "[sandbox]\nlevel = \"stric\"\n");
    REQUIRE_FALSE(little.has_value());
    for (const char* said : {"at least 4MiB", "at least 4", "at least 64KiB", "strict"}) {
        CHECK(little.error().message().find(said) != std::string::npos);
    }
}

TEST_CASE("a process may have no network, and an older lighthouse hears of it only then") {
    const Manifest m = parse("name = \"a\"\ncommand = [\"x\"]\n[sandbox]\nnetwork = \"none\"\n");
    CHECK_FALSE(m.has_network);
    CHECK(manifest_from_json(to_json(m)).value() == m);
    CHECK(parse("name = \"a\"\ncommand = [\"x\"]\n").has_network);
    const auto container = parse_manifest(
        "name = \"a\"\ndriver = \"docker\"\nimage = \"x\"\n[sandbox]\nnetwork = \"none\"\n");
    REQUIRE_FALSE(container.has_value());
    CHECK(container.error().message().find("[container] network") != std::string::npos);
}

TEST_CASE("a container of a service is read, and comes back from JSON") {
    const Manifest m = parse(
        "name = \"a\"\ndriver = \"docker\"\nimage = \"registry:5000/x/y:1.2@sha256:0a\"\n"
        "[container]\nport = 80\nuser = \"www:www\"\nread_only = false\n");
    CHECK(m.driver == Driver::kDocker);
    CHECK(m.command.empty());
    CHECK(m.container == Container{"registry:5000/x/y:1.2@sha256:0a", false, 80, "www:www", true});
    CHECK(manifest_from_json(to_json(m)).value() == m);
    // A bus service needs the bus, which listens on the machine's loopback.
    const Manifest bus =
        parse("name = \"a\"\nkind = \"bus\"\ndriver = \"docker\"\nimage = \"x\"\n");
    CHECK(bus.container.is_host_network);
    CHECK(manifest_from_json(to_json(bus)).value() == bus);
    CHECK_FALSE(parse("name = \"a\"\nkind = \"bus\"\ndriver = \"docker\"\nimage = \"x\"\n"
                      "[container]\nnetwork = \"own\"\n")
                    .container.is_host_network);
    const Manifest plain = parse("name = \"a\"\ncommand = [\"x\"]\n");
    CHECK(plain.driver == Driver::kProcess);
    CHECK_FALSE(to_json(plain).contains("driver"));
    CHECK_FALSE(to_json(plain).contains("container"));
    const Manifest process = parse("name = \"a\"\nkind = \"bus\"\ncommand = [\"x\"]\n");
    CHECK(manifest_from_json(to_json(process)).value() == process);
}

TEST_CASE("mistakes of containers are said") {
    const auto says = [](const std::string& toml, std::string_view what) {
        const auto parsed = parse_manifest("name = \"a\"\n" + toml);
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error().message().find(what) != std::string::npos);
    };
    says("driver = \"docker\"\n", "\"image\" is missing");
    says("driver = \"podman\"\nimage = \"x\"\n", "process");
    says("image = \"x\"\ncommand = [\"x\"]\n", "only driver = \"docker\" takes an image");
    says("command = [\"x\"]\n[container]\nport = 80\n", "only driver = \"docker\" has a container");
    says("driver = \"docker\"\nimage = \"x y\"\n", "is not the name of an image");
    says("driver = \"docker\"\nimage = \"../x?y\"\n", "is not the name of an image");
    says("driver = \"docker\"\nimage = \"" + std::string(kImageLengthMax + 1, 'x') + "\"\n",
         "is not the name of an image");
    says("driver = \"docker\"\nimage = \"x\"\n[container]\nuser = \"a b\"\n", "is not a user");
    says("driver = \"docker\"\nimage = \"x\"\n[container]\nnetwork = \"host\"\nport = 80\n",
         "has to listen on $PORT");
    says("driver = \"docker\"\nimage = \"x\"\nkind = \"static\"\n", "needs no container");
}

TEST_CASE("defaults stand in for what is not written") {
    const Manifest m = parse("name = \"a\"\ncommand = [\"x\"]\n");
    CHECK(m.kind == Kind::kHttp);
    CHECK(m.instances == 1);
    CHECK(m.probe.type == Probe::Type::kTcp);
    CHECK(m.probe.interval == 1s);
    CHECK(m.probe.timeout == 500ms);
    CHECK(m.probe.start_timeout == 30s);
    CHECK(m.stop.grace == 10s);
    CHECK(m.update.max_surge == 1);
    CHECK(m.update.max_unavailable == 0);
    CHECK(m.protocol == Protocol::kHttp1);
    CHECK(parse("name='a'\nprotocol='h2c'\ncommand=['x']").protocol == Protocol::kH2c);
    CHECK(m.proxy_protocol == candela::http::ProxyVersion::kNone);
    CHECK(parse("name='a'\nproxy_protocol='v2'\ncommand=['x']").proxy_protocol ==
          candela::http::ProxyVersion::kV2);
    CHECK(parse("name='a'\nkind='bus'\ncommand=['x']").probe.type == Probe::Type::kNone);
    CHECK(parse("name='a'\nkind='job'\ncommand=['x']").probe.type == Probe::Type::kNone);
    CHECK(parse("name='a'\nkind='static'\nroot='public'").probe.type == Probe::Type::kTcp);
}

TEST_CASE("all mistakes are reported at once, with line, column and the nearest key") {
    const std::string text = mistakes(R"(name = "Hello"
comand = ["node"]
instances = -1
[probe]
path = "healthz"
interval = "1"
[[route]]
host = "http://x"
pth = "/"
)");
    CHECK(contains(text, "service.toml:1:"));
    CHECK(contains(text, "\"Hello\" is not a name"));
    CHECK(contains(text, "service.toml:2:1"));
    CHECK(contains(text, "did you mean \"command\"?"));
    CHECK(contains(text, "service.toml:3:"));
    CHECK(contains(text, "service.toml:5:"));
    CHECK(contains(text, "service.toml:6:"));
    CHECK(contains(text, "service.toml:8:"));
    CHECK(contains(text, "service.toml:9:1"));
    CHECK(contains(text, "did you mean \"path\"?"));
    CHECK_FALSE(text.find("\"command\" is missing") != std::string::npos);
}

TEST_CASE("each rule has its own message") {
    const std::string head = "name = \"a\"\ncommand = [\"x\"]\n";
    CHECK(contains(mistakes("command = [\"x\"]"), "\"name\" is missing"));
    CHECK(contains(mistakes("name = \"a\""), "\"command\" is missing"));
    CHECK(contains(mistakes("name = \"a\"\ncommand = []"), "\"command\" is missing"));
    CHECK(contains(mistakes("name = \"a\"\ncommand = [\"\"]"), "program's name is empty"));
    CHECK(contains(mistakes("name='a'\nkind='static'\ncommand=['x']"), "has no command"));
    CHECK(contains(mistakes("name='a'\nkind='static'\nroot='../x'"), "not a folder within"));
    CHECK(contains(mistakes(head + "root = \"public\""), "only a static service has a root"));
    CHECK(contains(mistakes(head + "kind = \"htp\""), "http"));
    CHECK(contains(mistakes(head + "protocol = \"h2\""), "h2c"));
    CHECK(contains(mistakes(head + "kind='bus'\nprotocol='h2c'"), "only an http service has a"));
    CHECK(contains(mistakes(head + "protocol='h2c'\n[probe]\npath='/'"), "probed over HTTP/1.1"));
    CHECK(contains(mistakes(head + "proxy_protocol = \"v3\""), "did you mean \"v1\"?"));
    CHECK(contains(mistakes(head + "kind='bus'\nproxy_protocol='v1'"), "only an http service is"));
    CHECK(contains(mistakes(head + "protocol='h2c'\nproxy_protocol='v1'"), "of many clients"));
    CHECK(contains(mistakes(head + "proxy_protocol='v2'\n[probe]\npath='/'"), "without a PROXY"));
    CHECK(contains(mistakes(head + "instances = 1001"), "1000"));
    CHECK(contains(mistakes(head + "[env]\nPORT = \"1\""), "PORT is set by candela"));
    CHECK(contains(mistakes(head + "[env]\nCANDELA_X = \"1\""), "is set by candela"));
    CHECK(contains(mistakes(head + "[env]\n\"1a\" = \"1\""), "not a variable's name"));
    CHECK(contains(mistakes(head + "[probe]\npath='/'\nexec=['x']"), "not several"));
    CHECK(contains(mistakes(head + "[probe]\nexec=[]"), "command is empty"));
    CHECK(contains(mistakes(head + "[probe]\ninterval='1ms'"), "out of range"));
    CHECK(contains(mistakes(head + "[update]\nmax_surge=0"), "both 0"));
    CHECK(contains(mistakes(head + "[update]\nstrategy='bleu'"), "rolling"));
    CHECK(contains(mistakes(head + "[[route]]\npath='/a/../b'"), "not a path prefix"));
    CHECK(contains(mistakes(head + "[[route]]\npath='/a?b'"), "not a path prefix"));
    CHECK(contains(mistakes(head + "[[route]]\npath='/a'\n[[route]]\npath='/a/'"), "twice"));
    CHECK(
        contains(mistakes("name='a'\nkind='job'\ncommand=['x']\n[probe]\ntcp=true"), "not probed"));
    CHECK(contains(mistakes("name='a'\nkind='job'\ncommand=['x']\n[[route]]\npath='/'"),
                   "no routes"));
}

namespace {
constexpr std::string_view kRouteFull = R"(name = "a"
command = ["x"]
[[route]]
host = "*.Example.org"
path = "/api/"
exact = true
methods = ["GET", "POST"]
headers = { X-Beta = "*" }
query = { debug = "1" }
https_only = true
redirect = "https://www.example.org/x"
redirect_status = 302
strip_prefix = true
request_headers = { X-Env = "prod", X-Debug = "" }
response_headers = { Server = "" }
compress = true
body_max = "10MiB"
concurrency = 20
response_timeout = "30s"
split_by = "cookie:uid"
[route.cors]
origins = ["https://app.example.org"]
credentials = true
[[route.split]]
service = "next"
percent = 10
[route.mirror]
service = "shadow"
[route.cache]
object_max = "2MiB"
stale_if_error = "1h"
[route.rate_limit]
requests = 100
per = "1m"
burst = 10
header = "X-Api-Key"
[route.jwt]
jwks = '''{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'''
issuer = "https://login.example.org"
audience = ["shop"]
claim_headers = { sub = "X-User" }
[[route]]
path = "/closed"
answer_status = 503
answer_text = "back at noon"
[[route]]
path = "/v1"
rewrite = "/v2"
[route.basic_auth]
users = { ada = "$argon2id$v=19$m=16384,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g" }
)";
}  // namespace

TEST_CASE("every key of a route is read, and comes back from JSON") {
    const Manifest m = parse(kRouteFull);
    REQUIRE(m.routes.size() == 3);
    const Route& route = m.routes[0];
    CHECK(route.host == "*.example.org");
    CHECK(route.path == "/api");
    CHECK(route.exact);
    CHECK(route.methods == std::vector<std::string>{"GET", "POST"});
    CHECK(route.headers.at("x-beta") == "*");
    CHECK(route.query.at("debug") == "1");
    CHECK(route.https_only);
    CHECK(route.redirect == "https://www.example.org/x");
    CHECK(route.redirect_status == 302);
    CHECK(route.strip_prefix);
    CHECK(route.request_headers.at("X-Env") == "prod");
    CHECK(route.request_headers.at("X-Debug").empty());
    CHECK(route.response_headers.contains("Server"));
    CHECK(route.body_bytes_max == 10U << 20);
    CHECK(route.concurrency == 20);
    CHECK(route.compress);
    CHECK(route.response_timeout == 30s);
    REQUIRE(route.cors);
    CHECK(route.cors->origins.size() == 1);
    CHECK(route.cors->methods.size() == 6);
    CHECK(route.cors->credentials);
    CHECK(route.cors->max_age == 10min);
    CHECK(route.split == std::vector{RouteSplit{"next", 10}});
    CHECK(route.split_by == "cookie:uid");
    REQUIRE(route.mirror);
    CHECK(*route.mirror == RouteMirror{"shadow", 100, 64 << 10});
    REQUIRE(route.cache);
    CHECK(route.cache->object_bytes_max == 2 << 20);
    CHECK(route.cache->stale_if_error == 1h);
    REQUIRE(route.rate_limit);
    CHECK(route.rate_limit->requests == 100);
    CHECK(route.rate_limit->per == 1min);
    CHECK(route.rate_limit->burst == 10);
    CHECK(route.rate_limit->header == "x-api-key");
    REQUIRE(route.jwt);
    CHECK(route.jwt->issuer == "https://login.example.org");
    CHECK(route.jwt->audience == std::vector<std::string>{"shop"});
    CHECK(route.jwt->claim_headers.at("sub") == "X-User");
    CHECK(m.routes[1].answer_status == 503);
    CHECK(m.routes[2].rewrite == "/v2");
    REQUIRE(m.routes[2].basic_auth);
    CHECK(m.routes[2].basic_auth->users.contains("ada"));
    CHECK(m.routes[2].basic_auth->realm == "restricted");
    const auto again = manifest_from_json(to_json(m));
    REQUIRE(again);
    CHECK(*again == m);
    for (const Route& one : m.routes) CHECK(*route_from_json(to_json(one)) == one);
}

TEST_CASE("each rule of a route has its own message, at its place") {
    const auto in_route = [](std::string_view keys) {
        return mistakes(fmt::format("name='a'\ncommand=['x']\n[[route]]\n{}\n", keys));
    };
    CHECK(contains(in_route("methods=['get']"), "service.toml:4:"));
    CHECK(contains(in_route("methods=['get']"), "\"get\" is not a method"));
    CHECK(contains(in_route("headers={'a b'='1'}"), "not a header's name"));
    CHECK(contains(in_route("query={''='1'}"), "name is empty"));
    CHECK(contains(in_route("redirect='ftp://x'"), "not a place to go"));
    CHECK(contains(in_route("redirect='/x'\nredirect_status=305"), "leads nowhere"));
    CHECK(contains(in_route("redirect='/x'\nanswer_status=503"), "answers by itself already"));
    CHECK(contains(in_route("answer_status=100"), "100 is no status"));
    CHECK(contains(in_route("answer_text='x'"), "without answer_status"));
    CHECK(contains(in_route("rewrite='x'"), "not a path"));
    CHECK(contains(in_route("rewrite='/x'\nstrip_prefix=true"), "write one"));
    CHECK(contains(in_route("request_headers={Connection='x'}"), "candela's to say"));
    CHECK(contains(in_route("request_headers={X-Forwarded-For='x'}"), "candela's to say"));
    CHECK(contains(in_route("request_headers={Host=''}"), "without Host"));
    CHECK(contains(in_route("response_headers={Host='x'}"), "header of requests"));
    CHECK(contains(in_route("response_headers={A='1',a='2'}"), "twice"));
    CHECK(contains(in_route("response_headers={A=\"x\\ny\"}"), "can't stand in a header"));
    CHECK(contains(in_route("[route.cors]\norigins=['app.example']"), "not an origin"));
    CHECK(contains(in_route("[route.cors]\norigins=['app.example']"), "service.toml:5:"));
    CHECK(contains(in_route("[route.cors]\norigins=[]"), "no origin is allowed"));
    CHECK(contains(in_route("[route.cors]\norigins=['*']\ncredentials=true"), "list the origins"));
    CHECK(contains(in_route("[route.cors]\norigins=['*']\nmethods=['a']"), "not a method"));
    CHECK(contains(in_route("[route.cors]\norigins=['*']\nheaders=['a b']"), "header's name"));
    CHECK(contains(in_route("[route.cors]\nmethods=['GET']"), "origins"));
    CHECK(contains(in_route("split=[{service='a',percent=60},{service='b',percent=50}]"), "100"));
    CHECK(contains(in_route("split=[{service='a',percent=1},{service='a',percent=1}]"), "already"));
    CHECK(contains(in_route("split=[{service='A b',percent=60}]"), "service's name"));
    CHECK(contains(in_route("split=[{service='a',percent=1}]\nsplit_by='x'"), "cookie:session"));
    CHECK(contains(in_route("split_by='cookie:x'"), "nothing to stay with"));
    CHECK(contains(in_route("mirror={service='a',percent=101}"), "100"));
    CHECK(contains(in_route("mirror={service='a',body_max='2MiB'}"), "1MiB"));
    CHECK(contains(in_route("[route.cache]\nobject_max='2GiB'"), "1GiB"));
    CHECK(contains(in_route("[route.cache]\nfresh='366d'"), "365d"));
    CHECK(contains(in_route("[route.rate_limit]\nper='1s'"), "requests"));
    CHECK(contains(in_route("[route.rate_limit]\nrequests=1\nper='10ms'"), "1s"));
    CHECK(contains(in_route("[route.rate_limit]\nrequests=1\nheader='a b'"), "header's name"));
    CHECK(contains(in_route("[route.jwt]\njwks='{}'"), "\"keys\""));
    CHECK(contains(in_route("[route.jwt]\nissuer='x'"), "jwks"));
    CHECK(contains(in_route("[route.jwt]\njwks='{}'\nclaim_headers={sub='Host'}"),
                   "where a request goes"));
    CHECK(contains(in_route("[route.jwt]\njwks='{}'\nclaim_headers={a='X-A',b='x-a'}"), "twice"));
    CHECK(contains(in_route("[route.jwt]\njwks='{}'\nclaim_headers={a='X-A',b='X-A'}"), "twice"));
    CHECK(contains(in_route("[route.basic_auth]\nusers={}"), "nobody could come in"));
    CHECK(contains(in_route("[route.basic_auth]\nusers={ada='secret'}"), "hash-password"));
    CHECK(
        contains(in_route("[route.basic_auth]\nusers={ada='$argon2id$v=19$m=999999,t=3,p=1$a$b'}"),
                 "at most 65536 KiB"));
    CHECK(contains(in_route("[route.basic_auth]\nusers={'a:b'='x'}"), "not a user's name"));
    CHECK(contains(in_route("[route.basic_auth]\nusers={a='x'}\nrealm='a\"b'"), "not a realm"));
    CHECK(contains(in_route("[route.basic_auth]\nusers={a='x'}\n[route.jwt]\njwks='{}'"),
                   "take jwt or basic_auth"));
    CHECK(contains(in_route("rate_limits={}"), "did you mean \"rate_limit\"?"));
}

TEST_CASE("keys by URL and client certificates are read, and come back from JSON") {
    const auto authority = tls::Authority::create("people", std::chrono::system_clock::now(), 24h);
    const Manifest m = parse(fmt::format(R"(
name = "a"
command = ["x"]
[[route]]
[route.jwt]
jwks_url = "https://login.example.org/keys"
jwks_ca = """{0}"""
[route.client_certificate]
ca = """{0}"""
required = false
)",
                                         authority->ca_pem()));
    REQUIRE(m.routes.size() == 1);
    const Route& route = m.routes[0];
    CHECK(route.jwt->jwks.empty());
    CHECK(route.jwt->jwks_url == "https://login.example.org/keys");
    CHECK(route.jwt->jwks_ca == authority->ca_pem());
    CHECK(route.client_certificate->ca == authority->ca_pem());
    CHECK_FALSE(route.client_certificate->required);
    CHECK(*route_from_json(to_json(route)) == route);
    CHECK(*manifest_from_json(to_json(m)) == m);
    const auto in_route = [](std::string_view keys) {
        return mistakes(fmt::format("name='a'\ncommand=['x']\n[[route]]\n{}\n", keys));
    };
    CHECK(contains(in_route("[route.client_certificate]\nca='x'"), "not a certificate in PEM"));
    CHECK(contains(in_route("[route.client_certificate]\nrequired=true"), "ca"));
    CHECK(contains(in_route("[route.client_certificate]\nca='" +
                            std::string(kClientCaBytesMax + 1, 'x') + "'"),
                   "are the most"));
    CHECK(contains(in_route("[route.client_certificate]\nca='x'\n[route.cache]\nfresh='1s'"),
                   "the other's answer"));
    CHECK(contains(in_route("[route.jwt]\nissuer='x'"), "one of them"));
    CHECK(contains(in_route("[route.jwt]\njwks='{}'\njwks_url='https://x'"), "one of them"));
    CHECK(contains(in_route("[route.jwt]\njwks_url='login.example.org'"), "not an address"));
    CHECK(contains(in_route("[route.jwt]\njwks_url='http://login.example.org'"), "https://"));
    CHECK(parse("name='a'\ncommand=['x']\n[[route]]\n[route.jwt]\n"
                "jwks_url='http://127.0.0.1:1/k'\n")
              .routes.size() == 1);
    CHECK(contains(in_route("[route.jwt]\njwks_url='https://x'\njwks_ca='x'"), "in PEM"));
    CHECK(contains(in_route("[route.jwt]\njwks='{}'\njwks_ca='x'"), "goes with jwks_url"));
}

TEST_CASE("the same path under other conditions is another route") {
    const std::string head = "name='a'\ncommand=['x']\n";
    CHECK(parse(head + "[[route]]\npath='/a'\n[[route]]\npath='/a'\nmethods=['PUT']\n")
              .routes.size() == 2);
    CHECK(contains(mistakes(head + "[[route]]\npath='/a'\n[[route]]\npath='/a'\nstrip_prefix=true"),
                   "twice"));
}

TEST_CASE("settings of a route in JSON keep to the same rules") {
    const auto refused = [](std::string_view text) {
        const auto route = route_from_json(*parse_json(text));
        return route ? std::string() : route.error().message();
    };
    CHECK(contains(refused(R"({"path": "/", "rate_limit": {"requests": 0}})"), "from 1 to"));
    CHECK(contains(refused(R"({"path": "/", "cache": {"object_max": 1}})"), "1KiB"));
    CHECK(contains(refused(R"({"path": "/", "cors": {}})"), "no origin"));
    CHECK(contains(refused(R"({"path": "/", "cors": {"origin": 1}})"), "route.cors.origin"));
    CHECK(contains(refused(R"({"path": "/", "body_max": "x"})"), "a size"));
    CHECK(contains(refused("[]"), "must be an object"));
}

TEST_CASE("a mistake in a list or map stands where the item is") {
    CHECK(contains(mistakes("name = \"a\"\ncommand = [\n  \"x\",\n  \"a\\u0000b\",\n]"),
                   "service.toml:4:"));
    CHECK(contains(mistakes("name = \"a\"\ncommand = [\"x\"]\n[env]\nA = \"1\"\nHOST = \"x\""),
                   "service.toml:5:"));
    CHECK(contains(mistakes("name='a'\ncommand=['x']\n[[route]]\npath='/a'\n[[route]]\npath='b'"),
                   "service.toml:6:"));
}

TEST_CASE("limits are met with an error") {
    CHECK(parse_manifest(std::string(kManifestSizeMax + 1, '#')).error().code() ==
          Code::kExhausted);
    std::string many = "name='a'\ncommand=['x'";
    for (size_t i = 0; i < kCommandArgumentsMax; ++i) many += ",'y'";
    CHECK(contains(mistakes(many + "]"), "at most 256"));
    std::string routes = "name='a'\ncommand=['x']\n";
    for (size_t i = 0; i <= kRoutesMax; ++i) routes += fmt::format("[[route]]\npath='/{}'\n", i);
    CHECK(contains(mistakes(routes), "at most 64"));
    std::string env = "name='a'\ncommand=['x']\n[env]\n";
    for (size_t i = 0; i <= kEnvironmentMax; ++i) env += fmt::format("V{}='x'\n", i);
    CHECK(contains(mistakes(env), "at most 256"));
}

TEST_CASE("JSON gives back what was written") {
    for (const std::string_view text :
         {kFull, std::string_view("name='a'\ncommand=['x']"),
          std::string_view("name='a'\nkind='static'\nroot='public'"),
          std::string_view("name='a'\nprotocol='h2c'\ncommand=['x']"),
          std::string_view("name='a'\nproxy_protocol='v1'\ncommand=['x']"),
          std::string_view("name='a'\nkind='bus'\ncommand=['x']\n[probe]\nexec=['sh','-c','x']"),
          std::string_view("name='a'\nkind='job'\ncommand=['x']\ninstances=0")}) {
        const Manifest manifest = parse(text);
        const auto again = manifest_from_json(to_json(manifest));
        INFO((again ? "" : again.error().message()));
        REQUIRE(again);
        CHECK(*again == manifest);
    }
}

TEST_CASE("JSON mistakes are reported at once, with their paths") {
    const auto json = parse_json(R"({"name": 5, "comand": [], "command": ["x"], "instances": 1e3,
        "probe": {"interval": "soon", "pat": "/"}, "route": [{"path": "/"}, {"path": "x"}],
        "env": {"A": 1}, "update": {"max_surge": -1}, "kind": "htp"})");
    REQUIRE(json);
    const auto manifest = manifest_from_json(*json);
    REQUIRE_FALSE(manifest);
    const std::string& text = manifest.error().message();
    CHECK(contains(text, "name: must be"));
    CHECK(contains(text, "comand: unknown key; did you mean \"command\"?"));
    CHECK(contains(text, "instances: must be"));
    CHECK(contains(text, "probe.interval: must be"));
    CHECK(contains(text, "probe.pat: unknown key; did you mean \"path\"?"));
    CHECK(contains(text, "route[1].path: \"x\" is not a path prefix"));
    CHECK(contains(text, "env: must be"));
    CHECK(contains(text, "update.max_surge: -1 is out of range"));
    CHECK(contains(text, "kind: \"htp\" is not one of"));
}

TEST_CASE("JSON that is no object is refused") {
    for (const char* text :
         {"[]", "null", "5", "\"x\"", "{}", "{\"route\": {}}", "{\"probe\": []}"}) {
        INFO(text);
        CHECK_FALSE(manifest_from_json(*parse_json(text)));
    }
}

TEST_CASE("error pages and maintenance keep to their limits") {
    const std::string head = "name='a'\ncommand=['x']\n";
    const Manifest m = parse(head +
                             "[errors]\n502='e/502.html'\n4xx='e/4.html'\n[error_pages]\n"
                             "503='<p>'\n[maintenance]\nallow=['10.0.0.0/8']\n");
    CHECK(m.errors.at("4xx") == "e/4.html");
    CHECK(m.error_pages.at("503") == "<p>");
    CHECK(m.maintenance.retry_after == 1min);
    CHECK(manifest_from_json(to_json(m)).value() == m);
    CHECK(contains(mistakes(head + "[errors]\n200='x'"), ":4:"));
    CHECK(contains(mistakes(head + "[errors]\n200='x'"), "no status of an error"));
    CHECK(contains(mistakes(head + "[errors]\n502='a/../../x'"), "file of the bundle"));
    CHECK(contains(mistakes(head + "[errors]\n502='/etc/passwd'"), "file of the bundle"));
    CHECK(contains(mistakes(head + "[maintenance]\nallow=['10.0.0.0/99']"), "prefix length"));
    CHECK(contains(mistakes(head + "[maintenance]\nretry_after='25h'"), "24h"));
    const auto with_pages = [&](size_t count, size_t bytes) {
        Manifest large = m;
        large.error_pages.clear();
        for (size_t i = 0; i < count; ++i) {
            large.error_pages[std::to_string(500 + i)] = std::string(bytes, 'x');
        }
        const auto read = manifest_from_json(to_json(large));
        return read ? std::string() : read.error().message();
    };
    CHECK(with_pages(3, kErrorPageBytesMax).empty());
    CHECK(contains(with_pages(1, kErrorPageBytesMax + 1), "at most"));
    CHECK(contains(with_pages(4, kErrorPageBytesMax), "together"));
}

}  // namespace candela::service
