#pragma once

// What a manifest must fulfil beyond the types of its keys, for both spellings.

#include <functional>
#include <string>
#include <string_view>

#include "service/manifest.h"

namespace candela::service {

// Where in a manifest a mistake is: {"", "name"}, {"probe", "path"}, {"route", "host", 2}, {"env",
// "PORT"},
// {"", "command", 3}. The index is that of a [[table]] or list item; -1: none.
struct ManifestPlace {
    std::string table;
    std::string key;
    int index = -1;

    std::string to_string() const;  // "route[2].host"
};

struct ManifestMistake {
    ManifestPlace place;
    std::string message;
    bool is_missing =
        false;  // the key should be there; noise where other mistakes were found already
};

// A program and its arguments.
void check_program(const std::vector<std::string>& arguments,
                   const std::function<void(std::string)>& report);

// Reports every rule that is broken.
void check_manifest(const Manifest& manifest, const std::function<void(ManifestMistake)>& report);

}  // namespace candela::service
