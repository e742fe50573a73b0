// The bare proxy core in front of servers of the test's own, and raw sockets to talk to it.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { ROOT } from './program.mjs';
import { within } from './wait.mjs';

const BINARY = process.env.CANDELA_PROXY ?? path.join(ROOT, 'build/tests/bench/bench-http-proxy');

// Returns {port, pid} of a proxy to these upstreams, which ends with the test.
export async function startProxy(t, ...upstreams) {
  const child = spawn(BINARY, ['127.0.0.1:0', ...upstreams], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => { child.on('exit', (code, signal) => done({ code, signal })); });
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines = readline.createInterface({ input: child.stdout });
  const line = await within(5000, 'the proxy to listen', new Promise((done) => { lines.once('line', done); }));
  return { port: Number(line.split(':').pop()), pid: child.pid, ended };
}

// An HTTP server on a free port, which ends with the test.
export async function serve(t, handler, port = 0) {
  const server = http.createServer(handler);
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  server.target = `127.0.0.1:${server.address().port}`;
  return server;
}

// A socket whose bytes can be waited for.
export class Raw {
  constructor(port) {
    this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.text = '';
    this.closed = false;
    this.ended = false;
    this.socket.on('data', (bytes) => { this.text += bytes.toString('latin1'); });
    this.socket.on('end', () => { this.ended = true; });
    this.socket.on('close', () => { this.closed = true; });
    this.socket.on('error', () => {});
  }

  send(bytes) {
    this.socket.write(bytes);
    return this;
  }

  async until(what, limit = 10_000) {
    const probe = typeof what === 'function' ? what : () => this.text.includes(what);
    const end = Date.now() + limit;
    while (!probe()) {
      if (Date.now() > end) throw new Error(`waited ${limit} ms for ${what}; came: ${JSON.stringify(this.text.slice(0, 500))}`);
      await new Promise((done) => { setTimeout(done, 5); });
    }
    return this.text;
  }

  close() {
    this.socket.destroy();
  }
}

// Samples a process's resident memory until stop() returns the largest, in bytes.
export function watchMemory(pid) {
  let peak = 0;
  const sample = () => {
    const line = fs.readFileSync(`/proc/${pid}/status`, 'latin1').match(/^VmRSS:\s+(\d+) kB/m);
    if (line) peak = Math.max(peak, Number(line[1]) * 1024);
  };
  sample();
  const first = peak;
  const timer = setInterval(sample, 20);
  return () => {
    clearInterval(timer);
    sample();
    return { first, peak, grown: peak - first };
  };
}
