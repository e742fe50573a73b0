// An API that answers as docs/ctl-json.md says, on a unix socket: what ctl prints and returns is tested without
// a cloud. `script` changes what the next rollout does.

import crypto from 'node:crypto';
import http from 'node:http';
import path from 'node:path';
import { tempDir } from './program.mjs';

const TIME = '2026-01-02T03:04:05.678Z';

export class FakeLighthouse {
  static async start(t) {
    const fake = new FakeLighthouse();
    fake.socket = path.join(tempDir(t, 'fake'), 'api.sock');
    fake.address = `unix:${fake.socket}`;
    fake.server = http.createServer((request, response) => fake.#handle(request, response));
    await new Promise((done) => fake.server.listen(fake.socket, done));
    t.after(() => { fake.server.closeAllConnections(); fake.server.close(); });
    return fake;
  }

  constructor() {
    this.calls = [];
    this.bundles = new Map();
    this.releases = [];
    this.keys = [];
    this.outcome = 'done';
    this.polls = 2;     // looks at a release before its rollout ends
    this.refuse = {};   // {'GET /v1/nodes': [403, {...}]}
  }

  async #handle(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const url = new URL(request.url, 'http://x');
    const key = `${request.method} ${url.pathname}`;
    const json = request.headers['content-type'] === 'application/json' ? JSON.parse(body) : undefined;
    this.calls.push({ key, query: Object.fromEntries(url.searchParams), json, headers: request.headers });
    const send = (status, value) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(request.method === 'HEAD' ? undefined : JSON.stringify(value));
    };
    if (this.refuse[key]) return send(...this.refuse[key]);
    const missing = () => send(404, { error: { code: 'not_found', message: `${url.pathname} is not there`, hint: 'candela ctl services' } });
    if (key === 'GET /v1/version') return send(200, { version: '9.9.9' });
    if (key === 'GET /v1/status') return send(200, { trouble: this.trouble ?? '' });
    if (key === 'GET /v1/nodes/vm') {
      return send(200, { ...this.node(), sandbox_level: 'isolated', protections: [
        { name: 'seccomp', on: true, detail: 'system calls by a list' }, { name: 'memory', on: false, detail: 'there is no cgroup v2' }] });
    }
    if (key === 'GET /v1/nodes') return send(200, { nodes: [this.node()] });
    if (key === 'GET /v1/spaces') return send(200, { spaces: [{ name: 'default', services: 1, created_at: TIME }] });
    if (key === 'POST /v1/spaces') return send(201, { name: json.name });
    if (key === 'GET /v1/keys') return send(200, { keys: this.keys });
    if (key === 'POST /v1/keys') {
      this.keys.push({ name: json.name, public: json.public_key, space: json.space, role: json.role, created_at: TIME });
      return send(201, { jwt: fakeJwt(json.public_key), public: json.public_key });
    }
    if (/^DELETE \/v1\/(keys|spaces)\/\w+$/.test(key)) return send(200, {});
    if (key === 'GET /v1/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      return response.end(`: hello\n\ndata: {"time":"${TIME}","type":"instance_ready","instance":"hello-1"}\n\n`);
    }
    const bundle = key.match(/^(HEAD|PUT) \/v1\/bundles\/([0-9a-f]{64})$/);
    if (bundle) {
      if (bundle[1] === 'HEAD') return this.bundles.has(bundle[2]) ? send(200) : send(404);
      const digest = crypto.createHash('sha256').update(body).digest('hex');
      if (digest !== bundle[2]) return send(400, { error: { code: 'invalid', message: 'wrong digest' } });
      this.bundles.set(digest, { bytes: body.length, headers: request.headers });
      return send(201, {});
    }
    const space = url.pathname.match(/^\/v1\/spaces\/(\w+)\/(.*)$/);
    if (!space || space[1] === 'nowhere') return missing();
    return this.#space(request.method, space[2], { send, missing, json, response, url });
  }

  #space(method, rest, { send, missing, json, response, url }) {
    if (rest === 'instances') return send(200, { instances: this.instances() });
    if (rest === 'logs') {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const lines = ['one', 'two', 'three'].slice(-Number(url.searchParams.get('tail') || 3));
      for (const text of lines) response.write(`${JSON.stringify({ time: TIME, instance: 'hello-1', stream: 'stdout', text })}\n`);
      return response.end();
    }
    if (rest === 'services') return send(200, { services: this.releases.length > 0 ? [this.service()] : [] });
    const [, name, action] = rest.match(/^services\/([\w-]+)(?:\/(.*))?$/) ?? [];
    if (name !== 'hello') return missing();
    if (method === 'POST' && action === 'releases') return send(201, this.#release({ ...json }));
    if (this.releases.length === 0) return missing();
    if (!action) return send(200, method === 'DELETE' ? {} : this.service());
    if (action === 'releases') return send(200, { releases: this.releases });
    if (action === 'rollback') return send(201, this.#release({ copy_of: json.to ?? 1 }));
    if (action === 'scale') {
      this.wanted = json.instances;
      return send(200, this.service());
    }
    const number = Number(action.match(/^releases\/(\d+)$/)?.[1]);
    const release = this.releases.find((r) => r.number === number);
    if (!release) return missing();
    release.left -= 1;
    if (release.left < 0) this.#end(release);
    return send(200, release);
  }

  #release(more) {
    const release = { number: this.releases.length + 1, state: 'rolling', instances: 1, created_at: TIME, bundle: 'b'.repeat(64), author: 'me', left: this.polls, ...more };
    this.releases.push(release);
    return release;
  }

  #end(release) {
    release.state = this.outcome;
    release.ended_at = TIME;
    if (this.outcome !== 'done') {
      release.cause = 'no instance became ready within 2s';
      release.failing = {
        instance: 'hello-2', node: 'vm', last_exit: 'exit code 9', probe_answer: 'HTTP 404',
        log_tail: Array.from({ length: 25 }, (_, i) => `line ${i + 1}`),
      };
    }
  }

  node() {
    return {
      name: 'vm', state: 'ready', roles: ['bus', 'host'], version: '9.9.9', instances: 1, cpus: 4,
      memory_bytes: 2 ** 33, load_percent: 7, heard_at: TIME,
    };
  }

  service() {
    return {
      space: 'default', name: 'hello', kind: 'http', state: 'serving', release: this.releases.length,
      instances: this.wanted ?? 1, ready: this.wanted ?? 1, routes: [{ host: 'hello.localhost', path: '/' }],
    };
  }

  instances() {
    return Array.from({ length: this.wanted ?? 1 }, (_, i) => ({
      id: `hello-${i + 1}`, service: 'hello', release: 1, node: 'vm', state: 'ready', restarts: 0, started_at: TIME,
    }));
  }
}

// Good enough for ctl, which looks at its form and its subject only.
function fakeJwt(subject) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part({ sub: subject })}.${Buffer.alloc(64).toString('base64url')}`;
}
