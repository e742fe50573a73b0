#include "listening.h"

#include "loop/file.h"

namespace candela::bus_role {

namespace {

constexpr size_t kPemBytesMax = 1024 * 1024;

Entrance::Handshake parse_handshake(std::string_view text) {
    if (text == "first") return Entrance::Handshake::kFirst;
    if (text == "auto") return Entrance::Handshake::kAuto;
    return Entrance::Handshake::kAfterInfo;
}

tls::ServerOptions tls_options(const TlsFiles& files) {
    tls::ServerOptions options;
    options.alpn.clear();  // NATS clients name no protocol
    options.client_ca_pem = files.client_ca_pem;
    return options;
}

Result<std::shared_ptr<tls::ServerContext>> make_context(const ListeningConfig& config,
                                                         const TlsFiles& files,
                                                         const Entrances* before) {
    std::shared_ptr<tls::ServerContext> context;
    if (!config.has_tls()) return context;
    const tls::ServerOptions options = tls_options(files);
    if (before != nullptr && before->nats->tls != nullptr) {
        context = before->nats->tls;
        Result<> swapped = context->swap(files.key_pair, options);
        if (!swapped) return fail(swapped.error().in("[bus.tls]"));
        return context;
    }
    return tls::ServerContext::create(files.key_pair, options).in("[bus.tls]");
}

}  // namespace

ConfigKey advertise_key() {
    return config_addresses("advertise", {},
                            "Addresses that clients are told of, to connect to when this one "
                            "fails: those of this bus as clients reach it, and of others.")
        .at_most(256);
}

ConfigKey tls_key() {
    return config_table(
        "tls",
        ConfigSchema({
            config_string("certificate", "",
                          "A PEM file with the server's certificate, the leaf first. Without it "
                          "clients connect in the clear. Read anew at reload."),
            config_string("key", "", "A PEM file with its private key."),
            config_string("client_ca", "",
                          "A PEM file with the authority that clients' certificates must come "
                          "from. Default: clients need none."),
            config_bool("required", "true",
                        "Whether every client must use TLS; with false each may choose."),
            config_string("handshake", "after-info",
                          "When TLS begins: after INFO, as every NATS client can; first, before "
                          "a byte is sent in the clear; auto, first where the client begins at "
                          "once.")
                .one_of({"after-info", "first", "auto"}),
            config_duration("handshake_timeout", "2s", "How long a handshake may take.")
                .range("100ms", "1m"),
        }),
        "TLS for NATS clients.");
}

ConfigKey websocket_key() {
    return config_table(
        "websocket",
        ConfigSchema({
            config_address("listen", "",
                           "Where WebSocket clients, such as browsers, connect. Default: nowhere."),
            advertise_key(),
            config_bool("tls", "false", "Whether with the certificate of [bus.tls], as wss://."),
            config_strings("allowed_origins", {},
                           "Pages that may connect, such as \"https://app.example.com\". Default: "
                           "those of every origin."),
            config_bool("same_origin", "false",
                        "Whether only pages of the address connected to may, beside "
                        "allowed_origins."),
            config_duration("handshake_timeout", "2s",
                            "How long a client may take to ask for the WebSocket.")
                .range("100ms", "1m"),
        }),
        "NATS over WebSocket.");
}

void check_listening(const Config& bus, ConfigProblems& problems) {
    const Config& tls = bus.table("tls");
    const bool has_certificate = !tls.string("certificate").empty();
    if (has_certificate != !tls.string("key").empty()) {
        problems.add(tls.position(has_certificate ? "certificate" : "key"),
                     "[bus.tls] needs both certificate and key");
    }
    if (!has_certificate && !tls.string("client_ca").empty()) {
        problems.add(tls.position("client_ca"), "client_ca: without a certificate there is no TLS");
    }
    if (!tls.boolean("required") && tls.string("handshake") != "after-info") {
        problems.add(tls.position("required"),
                     "required: clients choose by what follows INFO; write handshake = "
                     "\"after-info\"");
    }
    if (!tls.boolean("required") && !tls.string("client_ca").empty()) {
        problems.add(tls.position("client_ca"),
                     "client_ca: whoever chooses no TLS would show no certificate; write required "
                     "= true");
    }
    const Config& websocket = bus.table("websocket");
    if (websocket.boolean("tls") && !has_certificate) {
        problems.add(websocket.position("tls"), "tls: there is no certificate in [bus.tls]");
    }
    for (const ConfigItem& origin : websocket.items("allowed_origins")) {
        if (http::is_origin(origin.value)) continue;
        problems.add(origin.at, "\"{}\" is not an origin; write https://HOST or https://HOST:PORT",
                     origin.value);
    }
}

ListeningConfig::ListeningConfig(const Config& bus) {
    if (const Result<Address> address = Address::parse(bus.string("listen"))) nats = *address;
    advertise = bus.strings("advertise");
    const Config& tls = bus.table("tls");
    certificate_file = tls.string("certificate");
    key_file = tls.string("key");
    client_ca_file = tls.string("client_ca");
    tls_required = tls.boolean("required");
    handshake = parse_handshake(tls.string("handshake"));
    tls_timeout = tls.duration("handshake_timeout");
    const Config& ws = bus.table("websocket");
    if (ws.has_value("listen")) {
        if (const Result<Address> address = Address::parse(ws.string("listen"))) {
            websocket = *address;
        }
    }
    websocket_advertise = ws.strings("advertise");
    websocket_tls = ws.boolean("tls");
    websocket_timeout = ws.duration("handshake_timeout");
    websocket_rules.allowed_origins = ws.strings("allowed_origins");
    websocket_rules.same_origin = ws.boolean("same_origin");
}

Result<TlsFiles> read_tls_files(const ListeningConfig& config) {
    TlsFiles files;
    if (!config.has_tls()) return files;
    CANDELA_TRY_ASSIGN(files.key_pair.certificate_pem,
                       read_file(config.certificate_file, kPemBytesMax));
    CANDELA_TRY_ASSIGN(std::string key, read_file(config.key_file, kPemBytesMax));
    files.key_pair.key_pem = Secret(std::move(key));
    if (!config.client_ca_file.empty()) {
        CANDELA_TRY_ASSIGN(files.client_ca_pem, read_file(config.client_ca_file, kPemBytesMax));
        if (files.client_ca_pem.empty()) {
            return fail(Code::kInvalid, "{} is empty", config.client_ca_file);
        }
    }
    return files;
}

Result<Entrances> make_entrances(const ListeningConfig& config, const TlsFiles& files,
                                 const Entrances* before) {
    CANDELA_TRY_ASSIGN(const std::shared_ptr<tls::ServerContext> context,
                       make_context(config, files, before));
    auto nats = std::make_shared<Entrance>();
    nats->advertise = config.advertise;
    nats->tls = context;
    nats->tls_required = config.tls_required;
    nats->handshake = config.handshake;
    nats->handshake_timeout = config.tls_timeout;
    Entrances out;
    out.nats = std::move(nats);
    if (config.websocket) {
        auto websocket = std::make_shared<Entrance>();
        websocket->type = ConnectionType::kWebSocket;
        websocket->advertise = config.websocket_advertise;
        if (config.websocket_tls) websocket->tls = context;
        websocket->handshake_timeout = config.websocket_timeout;
        websocket->websocket = config.websocket_rules;
        out.websocket = std::move(websocket);
    }
    return out;
}

}  // namespace candela::bus_role
