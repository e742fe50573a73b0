// The clients that drive a proxy. Each returns {requests, rps, p50, p99}, times in milliseconds.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { client, folder, privateBytes } from './machine.mjs';

const number = (text, pattern) => Number(text.match(pattern)?.[1] ?? NaN);

function milliseconds(text, pattern) {
  const [, value, unit] = text.match(pattern) ?? [];
  return Number(value) * ({ us: 0.001, ms: 1, s: 1000 }[unit] ?? NaN);
}

const script = path.join(folder, 'upload.lua');
fs.writeFileSync(script, 'wrk.method = "POST"\nwrk.body = string.rep("x", 1048576)\n');

export async function wrk(url, { clients, seconds, host, upload = false }) {
  const text = await client(['wrk', '-t1', `-c${clients}`, `-d${seconds}s`, '--latency', '-H', `Host: ${host}`,
    ...(upload ? ['-s', script] : []), url]);
  if (/Non-2xx|Socket errors/.test(text)) console.error(`errors at ${url} (${host}):\n${text}`);
  return {
    requests: number(text, /(\d+) requests in/), rps: number(text, /Requests\/sec:\s+([\d.]+)/),
    p50: milliseconds(text, /50%\s+([\d.]+)(us|ms|s)/), p99: milliseconds(text, /99%\s+([\d.]+)(us|ms|s)/),
  };
}

const message = path.join(folder, 'grpc-message');
fs.writeFileSync(message, Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), Buffer.from('\x0a\x03you')]));

// A number of requests, not a time: so all of them are counted.
export async function h2load(url, { count, host, grpc = false }) {
  const more = grpc ? ['-d', message, '-H', 'content-type: application/grpc', '-H', 'te: trailers'] : [];
  const text = await client(['h2load', '-t1', '-c32', '-m16', '-n', String(count), '-H', `:authority: ${host}`, ...more, url]);
  const done = number(text, /(\d+) succeeded/);
  if (done !== count) console.error(`errors at ${url} (${host}):\n${text}`);
  return { requests: done, rps: number(text, /([\d.]+) req\/s/), p50: NaN, p99: NaN };
}

// Full handshakes, one after the other.
export async function handshakes(port, { seconds, host }) {
  const text = await client(['openssl', 's_time', '-connect', `127.0.0.1:${port}`, '-new', '-time', String(seconds), '-tls1_3',
    '-servername', host].filter((word) => word !== '-servername' && word !== host));
  const done = number(text, /(\d+) connections in \d+ real seconds/);
  return { requests: done, rps: done / seconds, p50: NaN, p99: NaN };
}

// Opens connections that ask once and then stay; returns what closes them all.
async function openIdle(port, { count, host, secure }) {
  const sockets = [];
  const request = `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const one = () => new Promise((done, fail) => {
    const socket = secure
      ? tls.connect({ host: '127.0.0.1', port, servername: host, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
      : net.connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', fail);
    socket.once('data', () => done());
    socket.write(request);
  });
  const AT_ONCE = 50;
  for (let left = count; left > 0; left -= AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, left) }, one));
  }
  return () => Promise.all(sockets.map((socket) => new Promise((done) => {
    socket.on('close', done);
    socket.destroy();
  })));
}

// Private bytes a connection, by the difference between few connections and many, each after one request and some
// seconds of silence, in which buffers are given back.
export async function idleBytes(port, pid, { count, host, secure }) {
  const quiet = () => new Promise((done) => { setTimeout(done, 3500); });
  const FIRST = 200;  // what a process grows by once is not counted
  const few = await openIdle(port, { count: FIRST, host, secure });
  await quiet();
  const before = privateBytes(pid);
  const many = await openIdle(port, { count, host, secure });
  await quiet();
  const bytes = (privateBytes(pid) - before) / count;
  await Promise.all([few(), many()]);
  return bytes;
}
