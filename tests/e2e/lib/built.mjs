// Sources of applications that know nothing of candela, for it to build.

import { makeService } from './cloud.mjs';

const JAVA = `package shop;

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Main {
    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8000"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> {
            byte[] body = Greeting.of(exchange.getRequestURI().getPath()).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
`;

const CPP = `
#include <arpa/inet.h>
#include <cstdlib>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

std::string greeting();

int main() {
    const char* port = std::getenv("PORT");
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port ? std::atoi(port) : 8000));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
    listen(listener, 64);
    for (;;) {
        const int client = accept(listener, nullptr, nullptr);
        char buffer[4096];
        if (read(client, buffer, sizeof buffer) > 0) {
            const std::string body = greeting();
            const std::string answer = "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: " +
                                       std::to_string(body.size()) + "\\r\\n\\r\\n" + body;
            if (write(client, answer.data(), answer.size()) < 0) return 1;
        }
        close(client);
    }
}
`;

export const javaSources = (t) => makeService(t, 'java-shop', undefined, {
  'src/main/java/shop/Main.java': JAVA,
  'src/main/java/shop/Greeting.java': 'package shop;\n\nclass Greeting {\n    static String of(String path) { return "java at " + path; }\n}\n',
});

const cppFiles = (by) => ({
  'server.cc': CPP,
  'greeting.cc': `#include <string>\nstd::string greeting() { return "c++ by ${by}"; }\n`,
});

export const cmakeSources = (t) => makeService(t, 'by-cmake', undefined, {
  ...cppFiles('CMake'),
  'CMakeLists.txt': `cmake_minimum_required(VERSION 3.16)
project(by_cmake CXX)
add_library(greeting SHARED greeting.cc)
add_executable(server server.cc)
target_link_libraries(server greeting)
`,
});

export const mesonSources = (t) => makeService(t, 'by-meson', undefined, {
  ...cppFiles('Meson'),
  'meson.build': "project('by-meson', 'cpp')\nexecutable('server', 'server.cc', 'greeting.cc')\n",
});

export const phpSources = (t) => makeService(t, 'by-php', undefined, {
  'composer.json': '{"name": "acme/by-php", "require": {"php": ">=7.4"}}',
  'public/index.php': '<?php echo "php at ", $_SERVER["REQUEST_URI"];',
});

// A build by [build] commands, which a test makes do what it likes.
export const scripted = (t, name, commands, { files = {}, build = '', command = ['sh', '-c', 'exec sleep 1000'] } = {}) => makeService(t, name, `name = "${name}"
kind = "bus"
command = ${JSON.stringify(command)}
[build]
commands = ${JSON.stringify(commands)}
${build}
`, files);
