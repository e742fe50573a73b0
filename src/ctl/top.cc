// `candela ctl top`: what nodes and instances take, live; once where stdout is no terminal.

#include "ctl/top.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "ctl/api_model.h"
#include "ctl/screen.h"
#include "ctl/show.h"
#include "ctl/table.h"

namespace candela::ctl {

namespace {

constexpr Duration kIntervalDefault = 1s;
constexpr Duration kIntervalMin = 100ms;

struct Column {
    char key;
    std::string_view name;
    std::string_view member;  // of usage; empty: the instance's name
};
constexpr std::array kColumns{
    Column{'c', "cpu", "cpu_millis"},
    Column{'m', "memory", "memory_bytes"},
    Column{'r', "read", "io_read_bytes_per_second"},
    Column{'w', "write", "io_write_bytes_per_second"},
    Column{'i', "in", "net_in_bytes_per_second"},
    Column{'o', "out", "net_out_bytes_per_second"},
    Column{'n', "name", ""},
};

struct Snapshot {
    Json nodes = Json::array();
    Json instances = Json::array();
    std::string trouble;
};

// What the kernel of its host does not tell is not 0.
std::string shown(const Json& usage, std::string_view member,
                  const std::function<std::string(double)>& format) {
    const auto value = usage.is_object() ? usage.find(member) : usage.end();
    if (value == usage.end() || !value->is_number()) return "?";
    return format(value->get<double>());
}

std::string cores(double millis) { return fmt::format("{:.1f}%", millis / 10); }
// "1.5MiB": short, and the same width for most.
std::string bytes(double count) {
    constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (count >= 1024 && unit + 1 < kUnits.size()) {
        count /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{:.0f}{}", count, kUnits[unit])
                     : fmt::format("{:.1f}{}", count, kUnits[unit]);
}
std::string whole(double count) { return fmt::format("{:.0f}", count); }
std::string share(double part) { return fmt::format("{:.1f}%", part * 100); }

// "cpu 1.2% io 3.4%": of what something waits for at all.
std::string pressure(const Json& usage) {
    if (shown(usage, "cpu_pressure", share) == "?") return "?";
    std::string out;
    for (const std::string_view what : {"cpu", "memory", "io"}) {
        const std::string text = shown(usage, fmt::format("{}_pressure", what), share);
        if (text == "0.0%") continue;
        if (!out.empty()) out += ' ';
        out += fmt::format("{} {}", what, text);
    }
    return out.empty() ? "none" : out;
}

const Json& usage_of(const Json& item) {
    static const Json none = nullptr;
    const auto found = item.find("usage");
    return found == item.end() ? none : *found;
}

double sort_value(const Json& item, const Column& column) {
    const Json& usage = usage_of(item);
    const auto value = usage.is_object() ? usage.find(column.member) : usage.end();
    return value == usage.end() || !value->is_number() ? -1.0 : value->get<double>();
}

void sort_by(Json& instances, const Column& column, bool is_reversed) {
    std::vector<Json> list(instances.begin(), instances.end());
    std::ranges::stable_sort(list, [&](const Json& a, const Json& b) {
        if (column.member.empty()) return json_string_or(a, "id") < json_string_or(b, "id");
        return sort_value(a, column) > sort_value(b, column);
    });
    if (is_reversed) std::ranges::reverse(list);
    instances = list;
}

std::string nodes_text(const Session& session, const Json& nodes) {
    Table table(
        {"NODE", "STATE", "INSTANCES", "CPU", "MEMORY", "OF", "NET IN/s", "NET OUT/s", "PRESSURE"});
    for (const Json& item : nodes) {
        const NodeView node = node_view(item);
        const Json& usage = usage_of(item);
        table.add({node.name, node.state, std::to_string(node.instances),
                   fmt::format("{} of {}", shown(usage, "cpu_millis", cores), node.cpus),
                   shown(usage, "memory_bytes", bytes),
                   bytes(static_cast<double>(node.memory_bytes)),
                   shown(usage, "net_in_bytes_per_second", bytes),
                   shown(usage, "net_out_bytes_per_second", bytes), pressure(usage)});
    }
    return table.render([&](size_t column, const std::string& cell) {
        return column == 1 ? session.terminal.paint(style_of_state(cell), cell) : cell;
    });
}

std::string instances_text(const Session& session, const Json& instances) {
    Table table({"INSTANCE", "STATE", "NODE", "CPU", "MEMORY", "READ/s", "WRITE/s", "NET IN/s",
                 "NET OUT/s", "PROCS", "RESTARTS", "PRESSURE"});
    for (const Json& item : instances) {
        const InstanceView view = instance_view(item);
        const Json& usage = usage_of(item);
        table.add(
            {view.id, view.state, view.node, shown(usage, "cpu_millis", cores),
             shown(usage, "memory_bytes", bytes), shown(usage, "io_read_bytes_per_second", bytes),
             shown(usage, "io_write_bytes_per_second", bytes),
             shown(usage, "net_in_bytes_per_second", bytes),
             shown(usage, "net_out_bytes_per_second", bytes), shown(usage, "processes", whole),
             std::to_string(view.restarts), pressure(usage)});
    }
    return table.render([&](size_t column, const std::string& cell) {
        return column == 1 ? session.terminal.paint(style_of_state(cell), cell) : cell;
    });
}

Task<Result<Snapshot>> take_snapshot(Session& session) {
    Snapshot snapshot;
    auto nodes = co_await session.api.get("/v1/nodes");
    if (!nodes) co_return fail(nodes.error());
    snapshot.nodes = list_of(*nodes, "nodes");
    std::string path = fmt::format("/v1/spaces/{}/instances", path_part(session.space));
    auto instances = co_await session.api.get(std::move(path));
    if (!instances) co_return fail(instances.error());
    snapshot.instances = list_of(*instances, "instances");
    co_return snapshot;
}

// ---- live

struct View {
    const Column* column = &kColumns[0];
    bool is_reversed = false;
    bool is_paused = false;
    bool is_over = false;
    bool has_news = false;  // something to show without asking again
    Event changed;

    void take(Screen::Event event, char key) {
        if (event == Screen::Event::kEnded || key == 'q' || key == 'Q') is_over = true;
        if (key == 'R') is_reversed = !is_reversed;
        if (key == ' ' || key == 'p') is_paused = !is_paused;
        for (const Column& each : kColumns) {
            if (key == each.key) column = &each;
        }
        has_news = true;
        changed.set();
    }
};

std::vector<std::string> lines_of(Session& session, const View& view, Snapshot snapshot) {
    std::string keys;
    for (const Column& each : kColumns) keys += fmt::format(" {} {}", each.key, each.name);
    const std::string title = fmt::format(
        "candela top  space {}  {}  by {}{}{}", session.space,
        format_rfc3339(session.loop.wall()).substr(11, 8), view.column->name,
        view.is_reversed ? ", the other way round" : "", view.is_paused ? "  PAUSED" : "");
    std::string text =
        session.terminal.paint(Style::kBold, title) + "\n" +
        session.terminal.paint(Style::kDim, "q quit  sort:" + keys + "  R reverse  p pause") +
        "\n\n";
    if (!snapshot.trouble.empty())
        text += session.terminal.paint(Style::kRed, printable(snapshot.trouble, 400)) + "\n\n";
    sort_by(snapshot.instances, *view.column, view.is_reversed);
    text +=
        nodes_text(session, snapshot.nodes) + "\n" + instances_text(session, snapshot.instances);
    std::vector<std::string> lines;
    for (const std::string_view line : split(text, '\n')) lines.emplace_back(line);
    return lines;
}

Task<Result<int>> run_live(Session& session, View& view, Screen& screen, Duration interval) {
    Timer timer(session.loop.timers(), [&view] { view.changed.set(); });
    Snapshot shown_last;
    MonoTime next_at = session.loop.now();
    while (!view.is_over) {
        if (!view.is_paused && session.loop.now() >= next_at) {
            next_at = session.loop.now() + interval;
            auto snapshot = co_await take_snapshot(session);
            // What was seen last stays, and why there is nothing newer.
            if (snapshot)
                shown_last = std::move(*snapshot);
            else
                shown_last.trouble = snapshot.error().message();
        }
        if (view.is_over) break;
        screen.draw(lines_of(session, view, shown_last));
        view.changed.reset();
        view.has_news = false;
        timer.start(std::max(next_at - session.loop.now(), Duration(10ms)));
        co_await view.changed.wait();
    }
    co_return kOk;
}

Result<const Column*> find_column(const std::string& name) {
    std::vector<std::string> names;
    for (const Column& each : kColumns) {
        if (each.name == name) return &each;
        names.emplace_back(each.name);
    }
    return fail(Code::kInvalid, "--sort: \"{}\" is none of {}", printable(name), join(names, ", "));
}

Task<Result<int>> run(Session& session, Arguments arguments) {
    const auto column = find_column(arguments.text("--sort", "cpu"));
    if (!column) co_return fail(column.error());
    auto interval = arguments.duration("--interval", kIntervalDefault);
    if (!interval) co_return fail(interval.error());
    View view;
    view.column = *column;
    const bool is_live = !session.json && !arguments.has("--once");
    if (is_live) {
        auto screen = Screen::open(
            session.loop, [&view](Screen::Event event, char key) { view.take(event, key); });
        if (screen) {
            const Duration every = std::max(*interval, kIntervalMin);
            auto live = co_await run_live(session, view, **screen, every);
            co_return live;
        }
        // Where there is no terminal, one look has to do.
    }
    auto snapshot = co_await take_snapshot(session);
    if (!snapshot) co_return fail(snapshot.error());
    sort_by(snapshot->instances, *view.column, false);
    if (session.json) {
        const Json all = {{"space", session.space},
                          {"nodes", snapshot->nodes},
                          {"instances", snapshot->instances}};
        session.terminal.out_json(all);
        co_return kOk;
    }
    session.terminal.out(nodes_text(session, snapshot->nodes) + "\n");
    session.terminal.out(instances_text(session, snapshot->instances));
    co_return kOk;
}

}  // namespace

Verb top_verb() {
    return Verb{
        "",
        "top",
        "What nodes and instances take, live",
        {},
        {{"--once", "", "", "Print it once and end"},
         {"--sort", "", "COLUMN", "By cpu (the default), memory, read, write, in, out, name"},
         {"--interval", "", "DURATION", "How often to look (1s)"}},
        true,
        run};
}

}  // namespace candela::ctl
