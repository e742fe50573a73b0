// Python: requirements.txt or pyproject.toml. Packages go into a folder of the bundle; where that
// can't be, those that the system has will do, if they are what was asked for.

#include <algorithm>

#include "base/text.h"
#include "build/recipe.h"

namespace candela::build {

namespace {

constexpr std::string_view kPackages = "python_modules";

// Ends with 0 where this machine has all that is required, and says what it lacks otherwise.
constexpr std::string_view kSatisfied = R"(
import sys
from importlib import metadata
try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
if sys.argv[1].endswith(".toml"):
    import tomllib
    with open(sys.argv[1], "rb") as file:
        lines = tomllib.load(file).get("project", {}).get("dependencies", [])
else:
    with open(sys.argv[1]) as file:
        lines = [line.split(" #")[0].strip() for line in file]
lacking = []
for line in lines:
    if not line or line.startswith("#"):
        continue
    try:
        wanted = Requirement(line)
    except Exception:
        lacking.append(line)
        continue
    if wanted.marker and not wanted.marker.evaluate():
        continue
    try:
        if not wanted.specifier.contains(metadata.version(wanted.name), prereleases=True):
            lacking.append(line)
    except metadata.PackageNotFoundError:
        lacking.append(line)
if lacking:
    sys.exit("this system has not: " + ", ".join(lacking))
print("all that is required is installed on this system; hosts need it, too")
)";

// The names that the requirements begin with, in lower case.
bool requires_package(const Project& project, std::string_view name) {
    const std::string text =
        ascii_lower(project.text("requirements.txt") + "\n" + project.text("pyproject.toml"));
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
        const auto is_letter = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        };
        const size_t end = at + name.size();
        if ((at == 0 || !is_letter(text[at - 1])) && (end == text.size() || !is_letter(text[end])))
            return true;
    }
    return false;
}

// "app" of app.py, whose text makes the application as `app = Flask(…)`.
std::string module_that_makes(const Project& project, std::string_view what) {
    for (const std::string_view name : {"app", "wsgi", "main", "asgi", "server"}) {
        if (project.text(fmt::format("{}.py", name)).find(what) != std::string::npos)
            return std::string(name);
    }
    return "";
}

std::vector<std::string> start_command(const Project& project) {
    if (const std::string line = procfile_web(project); !line.empty()) {
        return shell_command(line);
    }
    const bool has_gunicorn = requires_package(project, "gunicorn");
    const auto gunicorn = [](std::string_view application) {
        return shell_command(
            fmt::format("exec python3 -m gunicorn --bind \"$HOST:$PORT\" {}", application));
    };
    if (project.has("manage.py") && requires_package(project, "django")) {
        for (const std::string& file : project.files("", "wsgi.py")) {
            const auto parts = split_once(file, '/');
            if (has_gunicorn && parts && parts->second == "wsgi.py")
                return gunicorn(fmt::format("{}.wsgi", parts->first));
        }
        return shell_command("exec python3 manage.py runserver --noreload \"$HOST:$PORT\"");
    }
    if (const std::string module = module_that_makes(project, "Flask("); !module.empty()) {
        if (has_gunicorn) return gunicorn(module + ":app");
        return shell_command(fmt::format(
            "exec python3 -m flask --app {} run --host \"$HOST\" --port \"$PORT\"", module));
    }
    for (const std::string_view framework : {"FastAPI(", "Starlette("}) {
        const std::string module = module_that_makes(project, framework);
        if (module.empty()) continue;
        return shell_command(fmt::format(
            "exec python3 -m uvicorn {}:app --host \"$HOST\" --port \"$PORT\"", module));
    }
    for (const std::string_view file : {"app.py", "main.py", "server.py"}) {
        if (project.has(file)) return {"python3", std::string(file)};
    }
    return {};
}

}  // namespace

std::optional<Recipe> python_recipe(const Project& project, const service::BuildSpec& spec) {
    const bool has_list = project.has("requirements.txt");
    if (!has_list && project.text("pyproject.toml").find("[project]") == std::string::npos)
        return std::nullopt;
    Recipe recipe;
    recipe.name = "python";
    recipe.language = "Python";
    recipe.manifest = has_list ? "requirements.txt" : "pyproject.toml";
    recipe.tools = {{"python3", "python3"}};
    const std::string check =
        fmt::format("python3 -c {} {}", shell_quoted(kSatisfied), recipe.manifest);
    if (!spec.has_network) {
        recipe.commands = {check};
    } else {
        recipe.commands = {fmt::format(
            "python3 -m pip install --no-compile --no-input --disable-pip-version-check "
            "--root-user-action=ignore --retries 1 --target {} {} || {{ rm -rf {}; {}; }}",
            kPackages, has_list ? "-r requirements.txt" : ".", kPackages, check)};
    }
    recipe.made = {std::string(kPackages), ".venv", "venv"};
    recipe.left_out = {"__pycache__", "*.pyc", "/build", "*.egg-info", "/.venv", "/venv"};
    recipe.defaults.command = start_command(project);
    recipe.defaults.env = {{"PYTHONPATH", std::string(kPackages)},
                           {"PYTHONUNBUFFERED", "1"},
                           {"PYTHONDONTWRITEBYTECODE", "1"}};
    return recipe;
}

}  // namespace candela::build
