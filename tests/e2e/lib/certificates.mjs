// Certificate authorities and certificates, made by openssl.

import fs from 'node:fs';
import path from 'node:path';
import { run } from './program.mjs';

async function openssl(...args) {
  const made = await run('openssl', args);
  if (made.code !== 0) throw new Error(made.stderr);
}

export class Authority {
  static async make(dir, name = 'ca') {
    const authority = new Authority();
    authority.dir = dir;
    authority.file = path.join(dir, `${name}.pem`);
    authority.keyFile = path.join(dir, `${name}.key`);
    await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-keyout', authority.keyFile, '-out', authority.file);
    authority.pem = fs.readFileSync(authority.file, 'utf8');
    return authority;
  }

  // For 127.0.0.1 and localhost. Writes NAME.pem and NAME.key, over what was there.
  async issue(name, { days = 1 } = {}) {
    const [certFile, keyFile, request, extensions] = ['pem', 'key', 'csr', 'ext'].map((end) => path.join(this.dir, `${name}.${end}`));
    fs.writeFileSync(extensions, 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
    await openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`,
      '-keyout', keyFile, '-out', request);
    await openssl('x509', '-req', '-in', request, '-CA', this.file, '-CAkey', this.keyFile, '-CAcreateserial',
      '-days', String(days), '-extfile', extensions, '-out', certFile);
    return { certFile, keyFile, cert: fs.readFileSync(certFile, 'utf8'), key: fs.readFileSync(keyFile, 'utf8') };
  }
}
