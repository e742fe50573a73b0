// HTTP requests under any Host, to 127.0.0.1 where nothing else is said, and a load loop that counts every answer.

import http from 'node:http';
import { sleep } from './wait.mjs';

// Resolves to {status, headers, body, text}; rejects where no whole answer came.
export function request(port, target = '/', options = {}) {
  const { address = '127.0.0.1', host = 'localhost', method = 'GET', headers = {}, body, agent, timeout = 15_000 } = options;
  return new Promise((done, fail) => {
    const sent = http.request(
      { host: address, port, path: target, method, agent: agent ?? false, headers: { host, ...headers } },
      (answer) => {
        const parts = [];
        answer.on('data', (bytes) => parts.push(bytes));
        answer.on('end', () => {
          const bytes = Buffer.concat(parts);
          done({ status: answer.statusCode, headers: answer.headers, body: bytes, text: bytes.toString() });
        });
        answer.on('error', fail);
        answer.on('aborted', () => fail(new Error('the answer was cut short')));
      },
    );
    sent.setTimeout(timeout, () => sent.destroy(new Error(`no answer within ${timeout} ms`)));
    sent.on('error', fail);
    sent.end(body);
  });
}

// Requests without pause over kept-alive connections until stop(). What is not 2xx is a failure.
export class Load {
  constructor(port, { address, host, target = '/', clients = 4, pause = 2, timeout } = {}) {
    this.sent = 0;
    this.failures = [];
    this.bodies = new Map();
    this.running = true;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: clients });
    this.loops = Array.from({ length: clients }, () => this.#loop(port, { address, host, timeout }, target, pause));
  }

  async #loop(port, options, target, pause) {
    while (this.running) {
      const start = Date.now();
      this.sent += 1;
      try {
        const answer = await request(port, target, { ...options, agent: this.agent });
        if (answer.status >= 200 && answer.status < 300) {
          this.bodies.set(answer.text, (this.bodies.get(answer.text) ?? 0) + 1);
        } else {
          this.failures.push({ at: new Date(start).toISOString(), status: answer.status, text: answer.text.slice(0, 200) });
        }
      } catch (error) {
        this.failures.push({ at: new Date(start).toISOString(), ms: Date.now() - start, error: error.code ?? error.message });
      }
      await sleep(pause);
    }
  }

  async stop() {
    this.running = false;
    await Promise.all(this.loops);
    this.agent.destroy();
    return this;
  }
}
