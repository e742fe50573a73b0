#pragma once

// What certificates and requests for them are put together from. Private to src/tls.

#include <string>
#include <vector>

#include "tls/openssl_impl.h"

namespace candela::tls {

// RFC 5280 §4.1.2.2: positive, at most 20 bytes; random, so that no two need coordination.
bool set_random_serial(X509* certificate);
bool set_times(X509* certificate, WallTime not_before, WallTime not_after);
bool set_common_name(X509_NAME* name, std::string_view text);
bool add_extension(X509* certificate, X509* issuer, int id, const char* value);

// "DNS:a,IP:1.2.3.4"; the text is OpenSSL's own little language, so that nothing else may get into
// it.
Result<std::string> alternative_names(const std::vector<std::string>& names);

}  // namespace candela::tls
