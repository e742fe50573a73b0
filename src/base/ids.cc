#include "base/ids.h"

#include <string_view>

namespace candela {

static std::string draw(Random& random, std::string_view alphabet, size_t length) {
    std::string out(length, '\0');
    for (char& c : out) c = alphabet[random.below(alphabet.size())];
    return out;
}

std::string make_id(Random& random) {
    return draw(random, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 22);
}

std::string make_short_id(Random& random) {
    return draw(random, "0123456789abcdefghijklmnopqrstuvwxyz", 8);
}

}  // namespace candela
