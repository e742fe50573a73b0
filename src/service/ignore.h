#pragma once

// .candelaignore: which files of a folder stay out of its bundle. A subset of gitignore(5):
//   # comment, and blank lines; "\#" and "\!" for names that begin so; blanks at a line's end do
//   not count name      anything of this name at any depth       name/    only folders of this name
//   /name     only at the root                         a/b      with a slash inside: from the root
//   *  ?  [a-z]  [!a-z]   within one name               **/  /**  any number of folders
//   !pattern  brings back what an earlier line left out; not below a folder that is left out itself
// The last line that matches decides. Values, no I/O, any thread.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::service {

class IgnoreRules {
public:
    // The error names the file and the line. At most kRulesMax lines with patterns.
    static Result<IgnoreRules> parse(std::string_view text,
                                     std::string_view file_name = ".candelaignore");

    // `path` is relative to the root, parts separated by '/', without one at its ends. Ask for a
    // folder before what is in it, and do not go into one that is ignored.
    bool is_ignored(std::string_view path, bool is_folder) const;
    // The same, absent where no line matches.
    std::optional<bool> decide(std::string_view path, bool is_folder) const;

    static constexpr size_t kRulesMax = 1000;
    static constexpr size_t kPatternLengthMax = 512;

private:
    struct Rule {
        std::vector<std::string> parts;  // "**" stands for any number of folders
        bool folders_only = false;
        bool negated = false;
    };
    std::vector<Rule> rules_;
};

}  // namespace candela::service
