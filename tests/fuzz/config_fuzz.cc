// The profile and service.toml reader on any bytes: it ends, and never crashes.

#include <cstdint>
#include <string_view>

#include "base/config.h"

using namespace candela;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const ConfigSchema schema({
        config_int("a", "0", "A.").range("0", "10"),
        config_string("s", "", "S.").one_of({"one", "two"}),
        config_duration("d", "1s", "D."),
        config_strings("list", {}, "List."),
        config_string_map("env", "Env."),
        config_table("t", ConfigSchema({config_size("x", "0", "X.").required()}), "T."),
        config_tables("r", ConfigSchema({config_address("l", "", "L.")}), "R."),
    });
    ConfigProblems problems("fuzz");
    const Config config =
        read_config({reinterpret_cast<const char*>(data), size}, schema, problems);
    static_cast<void>(problems.format());
    return 0;
}
