#pragma once

// Writes down what a reader reads, so that two ways of feeding it can be compared.

#include <string>
#include <vector>

#include "bus/protocol.h"

struct Recorder {
    bool on_line(const candela::bus::Line& line, std::string_view headers,
                 std::string_view payload) {
        std::string text = std::to_string(static_cast<int>(line.operation));
        for (const std::string_view part : {line.text, line.subject, line.reply, line.queue,
                                            line.sid, line.max, headers, payload}) {
            text += '|';
            text += part;
        }
        seen.push_back(text);
        return seen.size() < stop_after;
    }
    std::vector<std::string> seen;
    size_t stop_after = SIZE_MAX;
};
