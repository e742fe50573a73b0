#include "tls_settings.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/check.h"
#include "loop/file.h"
#include "tls/ticket_keys.h"

namespace candela::gateway {

namespace {

constexpr size_t kCertificatesMax = 4096;
constexpr size_t kPemBytesMax = 256 * 1024;

// "default" before all others, then by name: the first is shown to whoever asks for no known name.
bool comes_before(const std::filesystem::path& a, const std::filesystem::path& b) {
    const bool a_is_default = a.stem() == "default";
    const bool b_is_default = b.stem() == "default";
    return a_is_default != b_is_default ? a_is_default : a < b;
}

}  // namespace

ConfigKey tls_key() {
    return config_table(
        "tls",
        ConfigSchema({
            config_address("listen", "", "Where clients are served over HTTPS. Default: nowhere."),
            config_string("certificates", "",
                          "A folder with NAME.crt (the leaf first) and NAME.key for each "
                          "certificate, in PEM. Clients are shown the one that has the name they "
                          "ask for, otherwise default.crt or the first. Read anew at reload. "
                          "Default: only those of the lighthouse are served."),
            config_bool("http2", "true", "Whether clients are offered HTTP/2."),
            config_duration("handshake_timeout", "10s", "How long a handshake may take.")
                .range("100ms", "1m"),
            config_duration("ticket_rotation", "12h",
                            "How often the key of session tickets changes while the lighthouse, "
                            "which gives all gateways the same, is away; one that is replaced "
                            "goes on being taken for as long again.")
                .range("1s", "84h"),
        }),
        "HTTPS.");
}

TlsSettings read_tls_settings(const Config& gateway) {
    const Config& tls = gateway.table("tls");
    TlsSettings settings;
    if (!tls.string("listen").empty()) {
        auto listen = Address::parse(tls.string("listen"));
        CANDELA_CHECK(listen.has_value());
        settings.listen = std::move(*listen);
    }
    settings.certificates = tls.string("certificates");
    settings.handshake_timeout = tls.duration("handshake_timeout");
    settings.http2 = tls.boolean("http2");
    settings.ticket_rotation = tls.duration("ticket_rotation");
    return settings;
}

Result<std::vector<tls::KeyPair>> read_certificates(const std::string& folder) {
    std::vector<std::filesystem::path> found;
    if (folder.empty()) return std::vector<tls::KeyPair>();
    std::error_code problem;
    for (std::filesystem::directory_iterator entry(folder, problem), end; !problem && entry != end;
         entry.increment(problem)) {
        const std::filesystem::path extension = entry->path().extension();
        if (extension == ".crt" || extension == ".pem") found.push_back(entry->path());
    }
    if (problem) return fail_errno(fmt::format("reading {}", folder), problem.value());
    if (found.empty()) {
        return fail(Code::kNotFound, "{} has no certificates: put NAME.crt and NAME.key there",
                    folder);
    }
    if (found.size() > kCertificatesMax) {
        return fail(Code::kExhausted, "{} has more than {} certificates", folder, kCertificatesMax);
    }
    std::sort(found.begin(), found.end(), comes_before);
    std::vector<tls::KeyPair> pairs;
    for (const std::filesystem::path& certificate : found) {
        std::filesystem::path key = certificate;
        key.replace_extension(".key");
        CANDELA_TRY_ASSIGN(std::string certificate_pem, read_file(certificate, kPemBytesMax));
        CANDELA_TRY_ASSIGN(std::string key_pem, read_file(key, kPemBytesMax));
        tls::KeyPair pair;
        pair.certificate_pem = std::move(certificate_pem);
        pair.key_pem = Secret(std::move(key_pem));
        pairs.push_back(std::move(pair));
    }
    return pairs;
}

tls::ServerOptions server_options(const TlsSettings& settings) {
    tls::ServerOptions options;
    if (settings.http2) options.alpn = {"h2", "http/1.1"};
    options.ticket_keys = std::make_shared<tls::TicketKeys>(settings.ticket_rotation);
    return options;
}

}  // namespace candela::gateway
