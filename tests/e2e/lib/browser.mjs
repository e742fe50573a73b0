// Debian's Chromium without a screen: it loads a page from a small server of ours, and the page sends back what it found.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire, isBuiltin } from 'node:module';
import path from 'node:path';
import { tempDir } from './program.mjs';

// A CommonJS package and all that it requires as one ES module, whose default export is the package.
export function bundle(name, from) {
  const numbers = new Map();
  const modules = [];
  const add = (file) => {
    if (numbers.has(file)) return numbers.get(file);
    const number = numbers.size;
    numbers.set(file, number);
    const { resolve } = createRequire(file);
    const text = fs.readFileSync(file, 'utf8');
    const uses = {};
    for (const [, wanted] of text.matchAll(/\brequire\(["']([^"']+)["']\)/g)) {
      // What is for Node.js only is asked for only there.
      if (!isBuiltin(wanted)) uses[wanted] = add(resolve(wanted));
    }
    modules[number] = `[${JSON.stringify(uses)}, (module, exports, require) => {${text}\n}]`;
    return number;
  };
  const entry = add(createRequire(from).resolve(name));
  return `const modules = [${modules.join(',\n')}];
const made = [];
function load(number) {
  if (made[number]) return made[number].exports;
  const [uses, run] = modules[number];
  const module = made[number] = { exports: {} };
  run(module, module.exports, (wanted) => (wanted in uses ? load(uses[wanted]) : {}));
  return module.exports;
}
export default load(${entry});
`;
}

// Serves the files (path → text) until the test ends. `visit(url)` opens a page in the browser and returns what that page
// posts to /result, as JSON.
export async function startBrowser(t, files) {
  const waiting = [];
  const server = http.createServer((request, response) => {
    if (request.method === 'POST' && request.url === '/result') {
      let text = '';
      request.on('data', (bytes) => { text += bytes; });
      request.on('end', () => { response.end(); waiting.shift()?.(JSON.parse(text)); });
      return;
    }
    const found = files[new URL(request.url, 'http://page').pathname];
    const type = request.url.includes('.mjs') ? 'text/javascript' : 'text/html';
    response.writeHead(found === undefined ? 404 : 200, { 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'no-store' });
    response.end(found);
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  t.after(() => { server.closeAllConnections(); server.close(); });
  const { port } = server.address();

  async function visit(url, { timeout = 60_000, args = [] } = {}) {
    const dir = tempDir(t, 'candela-browser');
    const browser = spawn('chromium', ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-sync',
      '--disable-background-networking', '--disable-component-update', `--user-data-dir=${path.join(dir, 'profile')}`, ...args, url],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: dir }, detached: true });
    let said = '';
    browser.stderr.on('data', (bytes) => { said = (said + bytes).slice(-4000); });
    let late;
    try {
      return await new Promise((done, fail) => {
        waiting.push(done);
        browser.on('error', fail);
        browser.on('exit', (code, signal) => fail(new Error(`chromium ended (${signal ?? code}): ${said}`)));
        late = setTimeout(() => fail(new Error(`the page said nothing for ${timeout} ms; chromium: ${said}`)), timeout);
      });
    } finally {
      clearTimeout(late);
      const ended = new Promise((done) => { browser.exitCode === null && browser.signalCode === null && browser.pid ? browser.on('exit', done) : done(); });
      // With the processes that it has started, which are of its group.
      try { process.kill(-browser.pid, 'SIGKILL'); } catch { /* it has ended */ }
      await ended;
    }
  }
  return { port, origin: `http://127.0.0.1:${port}`, visit };
}
