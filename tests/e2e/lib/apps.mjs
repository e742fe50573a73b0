// Services that tests deploy: unmodified programs, written into folders of their own.

import fs from 'node:fs';
import path from 'node:path';
import { ROOT, run } from './program.mjs';
import { makeService } from './cloud.mjs';

const MODULES = path.join(ROOT, 'tests/e2e/node_modules');

// Copies npm packages and all that they need, as `npm install` in the folder would have done.
export function copyModules(dir, names, { filter } = {}) {
  const wanted = [...names];
  const done = new Set();
  while (wanted.length > 0) {
    const name = wanted.pop();
    const from = path.join(MODULES, name);
    if (done.has(name) || !fs.existsSync(from)) continue;
    done.add(name);
    fs.cpSync(from, path.join(dir, 'node_modules', name), { recursive: true, filter });
    const { dependencies = {} } = JSON.parse(fs.readFileSync(path.join(from, 'package.json')));
    wanted.push(...Object.keys(dependencies));
  }
}

export function manifest(name, command, { extra = '', probe = 'path = "/healthz"', instances = 1, kind = 'http' } = {}) {
  return `name = "${name}"
kind = "${kind}"
command = ${JSON.stringify(command)}
instances = ${instances}
${extra}
[probe]
${probe}
interval = "100ms"
${kind === 'http' ? `[[route]]\nhost = "${name}.localhost"\n` : ''}`;
}

export function expressApp(t) {
  const dir = makeService(t, 'express', manifest('express', ['node', 'app.js']), {
    'app.js': `
const express = require('express');
const app = express();
app.use(express.json());
app.get('/healthz', (request, response) => response.send('ok'));
app.get('/users/:id', (request, response) => response.json({ id: request.params.id, query: request.query }));
app.post('/echo', (request, response) => response.status(201).json({ got: request.body, ip: request.get('x-forwarded-for') }));
app.listen(process.env.PORT, '127.0.0.1');
`,
  });
  copyModules(dir, ['express']);
  return dir;
}

export function pythonApp(t) {
  return makeService(t, 'python', manifest('python',
    ['sh', '-c', 'exec python3 -m http.server --bind 127.0.0.1 --directory site $PORT'], { probe: 'path = "/"' }), {
    'site/index.html': '<h1>from python</h1>',
    'site/data/numbers.txt': Array.from({ length: 1000 }, (_, i) => i).join('\n'),
  });
}

export function phpApp(t) {
  return makeService(t, 'php', manifest('php', ['sh', '-c', 'exec php -S 127.0.0.1:$PORT -t public'], { probe: 'tcp = true' }), {
    'public/index.php': '<?php header("X-Made-By: php"); echo "php says ", $_GET["name"] ?? "nothing";',
  });
}

// One source file, compiled by the test: blocking sockets and nothing else.
export async function cppApp(t) {
  const dir = makeService(t, 'cpp', manifest('cpp', ['./server']), {
    'server.cc': `
#include <arpa/inet.h>
#include <cstdlib>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

int main() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(std::getenv("PORT"))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
    listen(listener, 64);
    for (;;) {
        const int client = accept(listener, nullptr, nullptr);
        char buffer[16384];
        std::string request;
        while (request.find("\\r\\n\\r\\n") == std::string::npos) {
            const ssize_t count = read(client, buffer, sizeof buffer);
            if (count <= 0) break;
            request.append(buffer, static_cast<size_t>(count));
        }
        const std::string body = "c++ got " + request.substr(0, request.find("\\r\\n"));
        const std::string answer = "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: " +
                                   std::to_string(body.size()) + "\\r\\n\\r\\n" + body;
        if (write(client, answer.data(), answer.size()) < 0) return 1;
        close(client);
    }
}
`,
    '.candelaignore': 'server.cc\n',
  });
  const built = await run('g++', ['-O1', '-o', 'server', 'server.cc'], { cwd: dir });
  if (built.code !== 0) throw new Error(built.stderr);
  return dir;
}

// Streams, events, WebSockets and the instance's own facts: what the tests of the data path need.
export function probeApp(t, { name = 'probe', instances = 1, version = '1', extra = '', routes } = {}) {
  const dir = makeService(t, name, manifest(name, ['node', 'app.mjs'], {
    instances, extra: `${extra}\n[env]\nVERSION = "${version}"\n`,
  }) + (routes ?? ''), {
    'package.json': '{"type":"module"}',
    'app.mjs': `
import http from 'node:http';
import crypto from 'node:crypto';
import { WebSocketServer } from 'ws';

const block = crypto.createHash('sha512').update('block').digest().toString('hex').repeat(512);
const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, 'http://x');
  if (url.pathname === '/healthz') return response.end('ok');
  if (url.pathname === '/version') return response.end(process.env.VERSION);
  if (url.pathname === '/pid') return response.end(String(process.pid));
  if (url.pathname === '/env') return response.end(JSON.stringify(process.env));
  if (url.pathname === '/headers') return response.end(JSON.stringify(request.headers));
  if (url.pathname === '/slow') return setTimeout(() => response.end('slow'), Number(url.searchParams.get('ms')));
  if (url.pathname === '/exit') { response.end('bye'); return setTimeout(() => process.exit(3), 20); }
  if (url.pathname === '/download') {
    let left = Number(url.searchParams.get('bytes'));
    response.setHeader('content-length', left);
    const send = () => {
      while (left > 0) {
        const part = left >= block.length ? block : block.slice(0, left);
        left -= part.length;
        if (!response.write(part)) { response.once('drain', send); return; }
      }
      response.end();
    };
    return send();
  }
  if (url.pathname === '/upload') {
    let bytes = 0;
    for await (const part of request) bytes += part.length;
    return response.end(String(bytes));
  }
  if (url.pathname === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let count = 0;
    const timer = setInterval(() => {
      count += 1;
      response.write('data: ' + count + '\\n\\n');
      if (count === 5) { clearInterval(timer); response.end(); }
    }, 100);
    return;
  }
  response.statusCode = 404;
  response.end('nothing at ' + url.pathname);
});
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => socket.on('message', (bytes, isBinary) => socket.send(bytes, { binary: isBinary })));
server.keepAliveTimeout = 60_000;
server.listen(process.env.PORT, '127.0.0.1', () => console.log('listening', process.env.VERSION));
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); for (const s of sockets.clients) s.close(1001); });
`,
  });
  copyModules(dir, ['ws']);
  return dir;
}

// Talks over the bus only; HTTP requests reach it by the mapping of docs/bus-over-http.md.
export function microApp(t) {
  const dir = makeService(t, 'greeter', `name = "greeter"
kind = "bus"
command = ["node", "app.mjs"]
instances = 2
[[route]]
host = "greeter.localhost"
`, {
    'package.json': '{"type":"module"}',
    'app.mjs': `
import fs from 'node:fs';
import { connect, credsAuthenticator } from 'nats';
const nats = await connect({
  servers: process.env.CANDELA_BUS_URL,
  authenticator: credsAuthenticator(fs.readFileSync(process.env.CANDELA_BUS_CREDS)),
  maxReconnectAttempts: -1, reconnectTimeWait: 100,
});
const service = await nats.services.add({ name: 'greeter', version: '1.0.0' });
const group = service.addGroup('greeter');
group.addEndpoint('hello', (error, message) => message.respond('hello ' + message.string()));
group.addEndpoint('sum', (error, message) => message.respond(JSON.stringify({ sum: message.json().reduce((a, b) => a + b, 0) })));
console.log('greeting');
process.on('SIGTERM', async () => { await nats.drain(); process.exit(0); });
`,
  });
  copyModules(dir, ['nats']);
  return dir;
}
