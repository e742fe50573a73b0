#include "js_error.h"

#include <nlohmann/json.hpp>

namespace candela::bus_role {

Json to_json(const JsError& error) {
    return {{"code", error.code}, {"err_code", error.number}, {"description", error.text}};
}

}  // namespace candela::bus_role
