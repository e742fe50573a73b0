#include "bus/client_tls.h"

#include "loop/file.h"

namespace candela::bus {

namespace {

constexpr size_t kPemBytesMax = 1024 * 1024;

Result<std::shared_ptr<tls::ClientContext>> read_context(const ClientTlsFiles& files) {
    tls::ClientOptions options;
    options.alpn.clear();  // a bus knows no names of protocols
    if (!files.authority.empty()) {
        CANDELA_TRY_ASSIGN(options.ca_pem, read_file(files.authority, kPemBytesMax));
    }
    tls::KeyPair own;
    if (!files.certificate.empty()) {
        CANDELA_TRY_ASSIGN(own.certificate_pem, read_file(files.certificate, kPemBytesMax));
        CANDELA_TRY_ASSIGN(std::string key, read_file(files.key, kPemBytesMax));
        own.key_pem = Secret(std::move(key));
        options.key_pair = &own;
    }
    return tls::ClientContext::create(options);
}

}  // namespace

ClientTls client_tls_from_files(ClientTlsFiles files) {
    ClientTls out;
    out.context = [files = std::move(files)] { return read_context(files); };
    return out;
}

}  // namespace candela::bus
