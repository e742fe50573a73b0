#pragma once

// How a service gets a secret or a config value of its space: under which name, as a variable or a
// file, and what becomes of its instances when the value changes. service.toml's [[secret]] and
// [[config]]. Values.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candela::service {

enum class ValueKind : uint8_t {
    kSecret,  // sealed wherever it rests; nobody can read it back
    kConfig,  // plain, but kept and delivered the same way
};
std::string_view to_string(ValueKind kind);
Result<ValueKind> parse_value_kind(std::string_view text);

enum class OnChange : uint8_t {
    kRestart,  // a rolling update of the same release
    kSignal,   // the file is replaced, then the program is sent `signal`
    kNothing,  // the file is replaced; a variable changes with the next release
};
std::string_view to_string(OnChange change);

struct ValueUse {
    ValueKind kind = ValueKind::kSecret;
    std::string name;
    std::string env;   // the variable; exactly one of env and file is set
    std::string file;  // in $CANDELA_VALUES
    uint32_t mode = 0400;
    OnChange on_change = OnChange::kRestart;
    std::string signal = "SIGHUP";

    friend bool operator==(const ValueUse&, const ValueUse&) = default;
};

inline constexpr size_t kValueNameMax = 64;
inline constexpr size_t kValueUsesMax = 64;                    // of one service, both kinds
inline constexpr size_t kValueBytesMax = 64 << 10;             // of one value
inline constexpr size_t kValuesOfServiceBytesMax = 512 << 10;  // of all that one service uses

// A letter, then letters, digits, "_", "-" and ".": it may be a variable's name, and a file's.
bool is_value_name(std::string_view name);
// The number of SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGTERM, SIGQUIT or SIGWINCH; 0: another name.
int signal_number(std::string_view name);

}  // namespace candela::service
