// Bearer tokens and key sets: nothing crashes, and no token is taken that our key has not signed.

#include <cstdint>
#include <cstdlib>

#include "http/jwt.h"

using namespace candela;
using namespace candela::http;

namespace {

// Of an example in RFC 8037, appendix A.2.
constexpr std::string_view kKeys =
    R"({"keys": [{"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";

const JwtCheck& check() {
    static const JwtCheck made([] {
        JwtRules rules;
        rules.keys = *parse_jwks(kKeys);
        rules.audience = {"a"};
        rules.claim_fields = {{"sub", "X-User"}};
        return rules;
    }());
    return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    if (const auto keys = parse_jwks(input); keys && keys->empty()) std::abort();
    Headers added;
    const Headers request{{"Authorization", "Bearer " + std::string(input)}};
    if (check().check(request, WallTime(), added)) std::abort();
    if (!added.empty()) std::abort();
    return 0;
}
